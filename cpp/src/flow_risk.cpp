// SPDX-License-Identifier: BSD-3-Clause
// Risks along the path, estimated from the data or expected over the noise.
#include "flow_fields.hpp"
#include "flow_noise.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <string>

namespace eigenflow::flow {
namespace {

// Rows of numbers added in pairs of pairs, as if by a binary tree over all of them.
class pairwise_sums {
public:
  explicit pairwise_sums(index width) : width_(static_cast<std::size_t>(width)) {}

  void add(const double *values) {
    std::vector<double> carry(values, values + width_);
    std::size_t level = 0;
    for (; (count_ >> level & 1) != 0; ++level)
      for (std::size_t i = 0; i < width_; ++i)
        carry[i] += levels_[level][i];
    if (level == levels_.size())
      levels_.emplace_back();
    levels_[level] = std::move(carry);
    ++count_;
  }

  // Returns what was added so far, and starts again.
  std::vector<double> take() {
    std::vector<double> sum(width_);
    for (std::size_t level = 0; level < levels_.size(); ++level)
      for (std::size_t i = 0; (count_ >> level & 1) != 0 && i < width_; ++i)
        sum[i] += levels_[level][i];
    count_ = 0;
    return sum;
  }

private:
  std::size_t width_;
  std::uint64_t count_ = 0;
  std::vector<std::vector<double>> levels_;
};

// How a problem of rows x cols is summed over its columns: tiles never straddle rows, and their
// sums meet in a fixed order.
struct row_tiles {
  index rows, cols, tile;

  index per_row() const { return (cols + tile - 1) / tile; }
  index count() const { return rows * per_row(); }
  index first(index i) const { return i / per_row() * cols + i % per_row() * tile; }
  index size(index i) const { return std::min(tile, cols - i % per_row() * tile); }
};

// out(time, row) = sum of what body(begin tile, end tile, sums) leaves in sums[tile][time]. At most
// 1 MiB of tiles' sums, or one of each worker's, at a time.
template <class Body>
void sum_tiles(const row_tiles &tiles, index n_times, index grain, int workers,
               matrix_view<double> out, Body &&body) {
  for (index i = 0; i < n_times && tiles.cols == 0; ++i)
    for (index row = 0; row < out.cols; ++row)
      out(i, row) = 0;
  if (n_times == 0 || tiles.count() == 0)
    return;
  const index group = std::max<index>((index{1} << 17) / n_times, 64 * grain);
  pairwise_sums of_row(n_times);
  std::vector<double> sums;
  for (index begin = 0; begin < tiles.count(); begin += group) {
    const index n = std::min(group, tiles.count() - begin);
    sums.assign(static_cast<std::size_t>(n * n_times), 0);
    parallel_for(
        n, grain,
        [&](index from, index to, int worker) {
          body(begin + from, begin + to, &sums[0] + from * n_times, worker);
        },
        workers);
    for (index i = 0; i < n; ++i) {
      of_row.add(&sums[0] + i * n_times);
      if ((begin + i + 1) % tiles.per_row() != 0)
        continue;
      const std::vector<double> total = of_row.take();
      for (index time = 0; time < n_times; ++time)
        out(time, (begin + i) / tiles.per_row()) = total[static_cast<std::size_t>(time)];
    }
  }
}

template <class T>
void check_risk(const options &opts, const coordinates<T> &in, matrix_view<const T> noise_variance,
                vector_view<const double> times, matrix_view<double> out) {
  check(opts, in, opts.depth > 0);
  check(times);
  require(noise_variance.rows == in.z.rows && noise_variance.cols == in.z.cols,
          "noise_variance: want the shape of z");
  require(out.rows == times.size && out.cols == in.z.rows, "out: want times x rows");
}

} // namespace

template <class T>
void sure(const options &opts, const coordinates<T> &in, matrix_view<const T> noise_variance,
          vector_view<const double> times, matrix_view<double> out) {
  check_risk(opts, in, noise_variance, times, out);
  const sorted_times sorted(times);
  const row_tiles tiles{in.z.rows, in.z.cols, tile_of(opts)};
  double unused = 0;
  fields<double> wanted;
  wanted.residual = wanted.d_z = &unused;
  const auto body = [&](index begin, index end, double *sums, int) {
    tile_inputs<T> inputs(in, opts.depth > 0);
    tile_input<T> variances(noise_variance);
    tile_fields f(opts, wanted, times.size);
    for (index i = begin; i < end; ++i, sums += times.size) {
      const isa::flow_tile tile = inputs.load(tiles.first(i), tiles.size(i));
      const double *variance = variances.load(tiles.first(i), tile.n);
      for_times(opts, tile, sorted.view(), f, [&](index row, index offset) {
        sums[row] = isa::flow().sure_sum(f.residual.data() + offset, f.d_z.data() + offset,
                                         variance, tile.n);
      });
    }
  };
  const index grain = std::max<index>(1, grain_of(tiles.tile, times.size) / tiles.tile);
  sum_tiles(tiles, times.size, grain, opts.workers, out, body);
}

template <class T>
void expected_risk(const options &opts, const coordinates<T> &in,
                   matrix_view<const T> noise_variance, vector_view<const double> times,
                   double rtol, matrix_view<double> out) {
  check_risk(opts, in, noise_variance, times, out);
  require(rtol >= least_rtol && rtol <= 0.1,
          "rtol: got " + std::to_string(rtol) + ", want a value from 1e-12 to 0.1");
  const sorted_times sorted(times);
  const row_tiles tiles{in.z.rows, in.z.cols, 32}; // 10 us of work and more for one time
  const auto body_of = [&](auto &&add) {
    return [&, add](index begin, index end, double *sums, int worker) {
      interrupt_poll poll;
      tile_inputs<T> inputs(in, opts.depth > 0);
      tile_input<T> variances(noise_variance);
      noise_mean mean(opts, sorted.view(), rtol);
      std::vector<double> floors(static_cast<std::size_t>(times.size));
      for (index i = begin; i < end; ++i, sums += times.size) {
        const isa::flow_tile tile = inputs.load(tiles.first(i), tiles.size(i));
        const double *variance = variances.load(tiles.first(i), tile.n);
        for (index time = 0; time < times.size; ++time)
          floors[static_cast<std::size_t>(time)] =
              out(time, i / tiles.per_row()) / static_cast<double>(tiles.cols);
        for (index j = 0; j < tile.n; ++j)
          add(mean,
              noisy_coordinate{tile.z[j], variance[j], tile.lambda[j],
                               tile.b0 == nullptr ? 1 : tile.b0[j]},
              floors.data(), sums, worker == 0 ? &poll : nullptr);
      }
    };
  };
  const index grain = opts.depth == 0 ? 8 : 1;
  // First a lower bound of each row's sum, then the sum: a row's bound is read until it is written.
  sum_tiles(tiles, times.size, grain, opts.workers, out,
            body_of([](noise_mean &mean, const noisy_coordinate &at, const double *, double *sums,
                       interrupt_poll *) { mean.add_bounds(at, sums); }));
  sum_tiles(tiles, times.size, grain, opts.workers, out,
            body_of([](noise_mean &mean, const noisy_coordinate &at, const double *floors,
                       double *sums, interrupt_poll *poll) { mean.add(at, floors, sums, poll); }));
}

#define EF_INSTANTIATE(T)                                                                          \
  template void sure(const options &, const coordinates<T> &, matrix_view<const T>,                \
                     vector_view<const double>, matrix_view<double>);                              \
  template void expected_risk(const options &, const coordinates<T> &, matrix_view<const T>,       \
                              vector_view<const double>, double, matrix_view<double>);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::flow
