// SPDX-License-Identifier: BSD-3-Clause
#include "sine_tiles.hpp"

#include <eigenflow/errors.hpp>

#include <limits>
#include <numbers>
#include <string>
#include <vector>

namespace eigenflow::sine {
namespace {

using namespace detail;

constexpr index right_hand_sides = 512; // applied at once; a further block makes the sines again
constexpr index max_panels = 8;         // of a chunk: they share the packed rows of V and X

// Largest Euclidean norm of a row, without overflow: entries are divided by the largest one.
template <class Real> double largest_row_norm(matrix_view<const Real> a) {
  double largest = 0, norm_squared = 0;
  for (index i = 0; i < a.rows; ++i)
    for (index l = 0; l < a.cols; ++l)
      largest = std::max(largest, std::abs(static_cast<double>(a(i, l))));
  if (largest == 0 || !std::isfinite(largest))
    return largest;
  for (index i = 0; i < a.rows; ++i) {
    double sum = 0;
    for (index l = 0; l < a.cols; ++l) {
      const double x = static_cast<double>(a(i, l)) / largest;
      sum += x * x;
    }
    norm_squared = std::max(norm_squared, sum);
  }
  return largest * std::sqrt(norm_squared);
}

// One worker's memory for `apply`: right-hand sides and sums of one block of them.
template <class Real> struct apply_scratch {
  phase_maker<Real> phases;
  std::unique_ptr<Real[]> tiles, x, sums;

  apply_scratch(factor<Real> out_side, factor<Real> sum_side, const options &opts, index n_panels,
                index cols)
      : phases(out_side, sum_side, opts, n_panels),
        tiles(uninitialised<Real>(n_panels * tile_cols * phases.lanes())),
        x(uninitialised<Real>(tile_cols * cols)),
        sums(uninitialised<Real>(n_panels * phases.lanes() * cols)) {}
};

// Y = S X over the rows of out_side; the sum runs over the rows of sum_side.
template <class Real> class product {
public:
  product(factor<Real> out_side, factor<Real> sum_side, matrix_view<const Real> X,
          matrix_view<Real> Y, const options &opts)
      : out_side_(out_side), sum_side_(sum_side), X_(X), Y_(Y), opts_(opts),
        n_panels_(std::clamp<index>(Y.rows / (8 * lanes()), 1, max_panels)),
        cols_(std::min(X.cols, right_hand_sides)),
        scratch_(static_cast<std::size_t>(resolve_workers(opts.workers))) {}

  void run() {
    const index group = n_panels_ * lanes();
    const double group_work = static_cast<double>(group * std::max<index>(X_.rows, 1)) *
                              static_cast<double>(out_side_.rows.cols + X_.cols + 16);
    const auto groups = static_cast<index>(std::clamp(2e6 / group_work, 1.0, 1e6));
    const auto body = [this](index begin, index end, int worker) { chunk(begin, end, worker); };
    if (X_.cols > 0)
      parallel_for(Y_.rows, group * groups, body, opts_.workers);
  }

private:
  static index lanes() { return phase_maker<Real>::lanes(); }

  void chunk(index begin, index end, int worker) {
    auto &scratch = scratch_[static_cast<std::size_t>(worker)];
    if (!scratch)
      scratch =
          std::make_unique<apply_scratch<Real>>(out_side_, sum_side_, opts_, n_panels_, cols_);
    interrupt_poll poll;
    for (index i = begin; i < end; i += n_panels_ * lanes()) {
      const index rows = std::min(n_panels_ * lanes(), end - i);
      scratch->phases.set_panels(i, rows);
      for (index t = 0; t < X_.cols; t += cols_)
        if (!block(*scratch, i, rows, t, std::min(cols_, X_.cols - t), worker, poll))
          return;
    }
  }

  // Rows [i, i + rows) of Y for the right-hand sides [t, t + cols). False when told to stop.
  bool block(apply_scratch<Real> &scratch, index i, index rows, index t, index cols, int worker,
             interrupt_poll &poll) {
    std::fill_n(scratch.sums.get(), n_panels_ * lanes() * cols, Real(0));
    for (index j = 0; j < X_.rows; j += tile_cols) {
      const index depth = std::min(tile_cols, X_.rows - j);
      pack_right_hand_sides(X_.block(j, t, depth, cols), scratch.x.get());
      const tile_place<Real> place{scratch.tiles.get(), tile_cols * lanes(), lanes()};
      if (scratch.phases.takes_few(cols))
        scratch.phases.apply_few(j, depth, scratch.x.get(), cols, scratch.sums.get());
      else
        scratch.phases.make(j, depth, place, [&](index p, Real *tile) {
          kernels<Real>().sines(tile, depth * lanes());
          kernels<Real>().apply(tile, lanes(), scratch.x.get(), depth, depth, cols, lanes(),
                                scratch.sums.get() + p * lanes() * cols, lanes());
        });
      if (stop_.check(worker, poll))
        return false;
    }
    for (index r = 0; r < rows; ++r) {
      const Real *sums = scratch.sums.get() + (r / lanes()) * lanes() * cols + r % lanes();
      for (index c = 0; c < cols; ++c)
        Y_(i + r, t + c) = sums[c * lanes()];
    }
    return true;
  }

  // Divided by the gain, so that the tiles are plain sines.
  void pack_right_hand_sides(matrix_view<const Real> x, Real *to) const {
    const Real inverse_gain = static_cast<Real>(1 / opts_.gain);
    for (index j = 0; j < x.rows; ++j) {
      const Real *from = &x(j, 0);
      for (index c = 0; c < x.cols; ++c)
        to[c * x.rows + j] = from[c * x.col_stride] * inverse_gain;
    }
  }

  factor<Real> out_side_, sum_side_;
  matrix_view<const Real> X_;
  matrix_view<Real> Y_;
  const options &opts_;
  index n_panels_, cols_;
  std::vector<std::unique_ptr<apply_scratch<Real>>> scratch_;
  tile_stop stop_;
};

// A view of a packed factor's sizes, for the checks and the loops.
template <class Real> matrix_view<const Real> sizes_of(const char *name, const packed_factor &a) {
  require(a.bits >= 1 && a.bits <= 8,
          std::string(name) + ": got " + std::to_string(a.bits) + " bits, want 1 to 8");
  return {nullptr, a.rows, a.cols, a.cols, 1};
}

} // namespace

template <class Real>
accuracy phase_accuracy(matrix_view<const Real> U, matrix_view<const Real> V, const options &opts) {
  check_factors(U, V, opts);
  using limits = std::numeric_limits<Real>;
  const double k = static_cast<double>(U.cols), half_ulp = limits::epsilon() / 2;
  const double scaled_norm = std::abs(opts.omega) / std::numbers::pi * largest_row_norm(U);
  const double half_turns = scaled_norm == 0 ? 0 : scaled_norm * largest_row_norm(V);
  const double range = static_cast<double>(limits::max()) * 0x1p-30; // room for split products
  // Plain: the roundings of the chain (two a term without fused multiply-add) and of the scaled
  // factor. Exact: partial sum l is below l turns and below the phase, and is rounded twice, the
  // term itself once; the split factor has twice the digits.
  const double roundings = active_cpu_level() == cpu_level::baseline ? 2 * k + 3 : k + 3;
  const double of_phase = opts.exact_phase && half_turns <= std::exp2(limits::digits)
                              ? half_ulp * std::min(k * k + 3 * k, (2 * k + 2) * half_turns) +
                                    8 * k * half_ulp * half_ulp * half_turns
                              : half_ulp * roundings * half_turns;
  const double bound = std::numbers::pi * of_phase + 8 * half_ulp;
  return {half_turns, bound <= 2 ? bound : 2.0, !(scaled_norm <= range && half_turns <= range)};
}

template <class Real>
void apply(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
           matrix_view<Real> Y, const options &opts) {
  check_product(U, V, X, Y, opts);
  product<Real>({U, true}, {V, false}, X, Y, opts).run();
}

template <class Real>
void apply_transposed(matrix_view<const Real> U, matrix_view<const Real> V,
                      matrix_view<const Real> Y, matrix_view<Real> X, const options &opts) {
  check_factors(U, V, opts);
  check_shape("Y", Y, U.rows, Y.cols);
  check_shape("X", X, V.rows, Y.cols);
  product<Real>({V, false}, {U, true}, Y, X, opts).run();
}

template <class Real>
void apply(const packed_factor &U, const packed_factor &V, matrix_view<const Real> X,
           matrix_view<Real> Y, const options &opts) {
  const auto u = sizes_of<Real>("U", U), v = sizes_of<Real>("V", V);
  check_product(u, v, X, Y, opts);
  product<Real>({u, true, &U}, {v, false, &V}, X, Y, opts).run();
}

template <class Real>
void apply_transposed(const packed_factor &U, const packed_factor &V, matrix_view<const Real> Y,
                      matrix_view<Real> X, const options &opts) {
  const auto u = sizes_of<Real>("U", U), v = sizes_of<Real>("V", V);
  check_factors(u, v, opts);
  check_shape("Y", Y, U.rows, Y.cols);
  check_shape("X", X, V.rows, Y.cols);
  product<Real>({v, false, &V}, {u, true, &U}, Y, X, opts).run();
}

template <class Real>
void entries(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<Real> out,
             const options &opts) {
  check_factors(U, V, opts);
  check_shape("out", out, U.rows, V.rows);
  const index lanes = kernels<Real>().lanes, band = 64 * lanes;
  const index n_bands = (out.cols + band - 1) / band;
  const index n_tiles = n_bands * ((out.rows + tile_cols - 1) / tile_cols);
  tile_stop stop;
  const Real inverse_gain = static_cast<Real>(1 / opts.gain);
  const auto body = [&](index begin, index end, int worker) {
    phase_maker<Real> phases({V, false}, {U, true}, opts, 1);
    const auto memory = uninitialised<Real>(tile_cols * lanes);
    const tile_place<Real> place{memory.get(), 0, lanes};
    interrupt_poll poll;
    for (index tile = begin; tile < end; ++tile) {
      const index i = tile / n_bands * tile_cols, rows = std::min(tile_cols, out.rows - i);
      const index last = std::min(out.cols, (tile % n_bands + 1) * band);
      for (index j = tile % n_bands * band; j < last; j += lanes) {
        const index cols = std::min(lanes, last - j);
        phases.set_panels(j, cols);
        phases.make(i, rows, place, [&](index, Real *sines) {
          kernels<Real>().sines(sines, rows * lanes);
          for (index r = 0; r < rows; ++r)
            for (index c = 0; c < cols; ++c)
              out(i + r, j + c) = sines[r * lanes + c] * inverse_gain;
        });
        if (stop.check(worker, poll))
          return;
      }
    }
  };
  parallel_for(n_tiles, 1, body, opts.workers);
}

template <class Real>
void sincospi(vector_view<const Real> t, vector_view<Real> sine, vector_view<Real> cosine) {
  require(sine.size == t.size && cosine.size == t.size, "sine, cosine: want the size of t");
  require(t.contiguous() && sine.contiguous() && cosine.contiguous(), "t: want contiguous views");
  kernels<Real>().sincospi(t.data, t.size, sine.data, cosine.data);
}

template <class Real> double register_loop(index depth, index n_rhs, index n) {
  const index entries = isa::register_loop_vectors * kernels<Real>().vector_lanes;
  return static_cast<double>(kernels<Real>().register_loop(depth, n_rhs, n / entries));
}

#define EF_INSTANTIATE(Real)                                                                       \
  template accuracy phase_accuracy(matrix_view<const Real>, matrix_view<const Real>,               \
                                   const options &);                                               \
  template void apply(matrix_view<const Real>, matrix_view<const Real>, matrix_view<const Real>,   \
                      matrix_view<Real>, const options &);                                         \
  template void apply_transposed(matrix_view<const Real>, matrix_view<const Real>,                 \
                                 matrix_view<const Real>, matrix_view<Real>, const options &);     \
  template void apply(const packed_factor &, const packed_factor &, matrix_view<const Real>,       \
                      matrix_view<Real>, const options &);                                         \
  template void apply_transposed(const packed_factor &, const packed_factor &,                     \
                                 matrix_view<const Real>, matrix_view<Real>, const options &);     \
  template void entries(matrix_view<const Real>, matrix_view<const Real>, matrix_view<Real>,       \
                        const options &);                                                          \
  template void sincospi(vector_view<const Real>, vector_view<Real>, vector_view<Real>);           \
  template double register_loop<Real>(index, index, index);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)
#undef EF_INSTANTIATE

} // namespace eigenflow::sine
