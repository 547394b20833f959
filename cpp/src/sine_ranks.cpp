// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/sine.hpp>

#include <vector>

namespace eigenflow::sine {
namespace {

template <class Real> void sum_over(const rank_group &ranks, matrix_view<Real> x) {
  if (x.data == nullptr)
    return;
  std::vector<Real> packed(static_cast<std::size_t>(x.rows * x.cols));
  const matrix_view<Real> rows = row_major(packed.data(), x.rows, x.cols);
  for (index i = 0; i < x.rows; ++i)
    for (index j = 0; j < x.cols; ++j)
      rows(i, j) = x(i, j);
  ranks.allreduce(std::span(packed), reduction::sum);
  for (index i = 0; i < x.rows; ++i)
    for (index j = 0; j < x.cols; ++j)
      x(i, j) = rows(i, j);
}

template <class Real>
void same_shapes(const guarded_group &ranks, matrix_view<const Real> U, matrix_view<const Real> V,
                 index n_rhs) {
  ranks.same("U", U.cols, "as many columns on every rank");
  ranks.same("V", V.rows, "the whole of V on every rank");
  ranks.same("X", n_rhs, "as many right-hand sides on every rank");
}

} // namespace

template <class Real>
void apply_transposed(matrix_view<const Real> U, matrix_view<const Real> V,
                      matrix_view<const Real> Y, matrix_view<Real> X, const options &opts,
                      const rank_group &group) {
  together(group, [&](const guarded_group &ranks) {
    same_shapes(ranks, U, V, X.cols);
    apply_transposed(U, V, Y, X, opts);
    if (ranks.size() > 1)
      sum_over(ranks, X);
  });
}

template <class Real>
scalar_gradients vjp(matrix_view<const Real> U, matrix_view<const Real> V,
                     matrix_view<const Real> X, matrix_view<const Real> grad_output,
                     const gradient_views<Real> &out, const options &opts,
                     const rank_group &group) {
  return together(group, [&](const guarded_group &ranks) {
    same_shapes(ranks, U, V, X.cols);
    const scalar_gradients here = vjp(U, V, X, grad_output, out, opts);
    if (ranks.size() > 1) {
      sum_over(ranks, out.V);
      sum_over(ranks, out.X);
    }
    double both[] = {here.omega, here.gain};
    ranks.allreduce(std::span<double>(both), reduction::sum);
    return scalar_gradients{both[0], both[1]};
  });
}

#define EF_INSTANTIATE(Real)                                                                       \
  template void apply_transposed<Real>(matrix_view<const Real>, matrix_view<const Real>,           \
                                       matrix_view<const Real>, matrix_view<Real>,                 \
                                       const options &, const rank_group &);                       \
  template scalar_gradients vjp<Real>(                                                             \
      matrix_view<const Real>, matrix_view<const Real>, matrix_view<const Real>,                   \
      matrix_view<const Real>, const gradient_views<Real> &, const options &, const rank_group &);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::sine
