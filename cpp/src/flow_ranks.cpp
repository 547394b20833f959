// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/flow.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::flow {
namespace {

// 1/2 sum (theta - z)^2: chunks of a fixed size, added in their order.
template <class T> double half_squares(matrix_view<const T> z, const T *theta, int workers) {
  const index grain = std::max<index>(1, (index{1} << 16) / std::max<index>(1, z.cols));
  std::vector<double> parts(static_cast<std::size_t>((z.rows + grain - 1) / grain));
  parallel_for(
      z.rows, grain,
      [&](index begin, index end, int) {
        double sum = 0;
        for (index i = begin; i < end; ++i)
          for (index j = 0; j < z.cols; ++j) {
            const double rest =
                static_cast<double>(z(i, j)) - static_cast<double>(theta[i * z.cols + j]);
            sum += rest * rest;
          }
        parts[static_cast<std::size_t>(begin / grain)] = sum;
      },
      workers);
  double total = 0;
  for (const double part : parts)
    total += part;
  return total / 2;
}

} // namespace

template <class T>
std::vector<double> solve(const options &opts, const coordinates<T> &in,
                          vector_view<const double> times, T *theta, const rank_group &ranks) {
  return together(ranks, [&](const guarded_group &group) {
    group.same("times", times.size, "as many times on every rank");
    group.same("depth", opts.depth, "one depth for all");
    const index size = in.z.rows * in.z.cols;
    if (size > 0 && times.size > 0)
      require(solve(opts, in, times, theta),
              "z, eigenvalues, b0: want finite numbers, eigenvalues and b0 not negative");
    std::vector<double> loss(static_cast<std::size_t>(times.size));
    for (index t = 0; t < times.size; ++t)
      loss[static_cast<std::size_t>(t)] = half_squares(in.z, theta + t * size, opts.workers);
    group.allreduce(std::span(loss), reduction::sum);
    return loss;
  });
}

#define EF_INSTANTIATE(T)                                                                          \
  template std::vector<double> solve<T>(const options &, const coordinates<T> &,                   \
                                        vector_view<const double>, T *, const rank_group &);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::flow
