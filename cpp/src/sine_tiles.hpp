// SPDX-License-Identifier: BSD-3-Clause
// What the drivers in sine.cpp share: the scaled factors, packed copies of their rows, and the
// loop over the columns of U in blocks.
#pragma once

#include "isa/sine.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/hd/sine.hpp>
#include <eigenflow/parallel.hpp>
#include <eigenflow/sine.hpp>
#include <eigenflow/views.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <type_traits>

namespace eigenflow::sine::detail {

constexpr index tile_cols = hd::sine_tile_cols;
constexpr index depth_block = 512; // columns of U and V that are packed at once

template <class Real> const isa::sine_panel_kernels<Real> &kernels() {
  if constexpr (std::is_same_v<Real, float>)
    return isa::sine().single;
  else
    return isa::sine().twice;
}

// omega / pi as an unevaluated sum, and a factor split by it. The low part of a scaled entry is
// what its rounding lost, which only the exact mode needs.
class half_turn_scale {
public:
  explicit half_turn_scale(double omega) {
    constexpr double inverse_pi = 0.31830988618379069, rest = -1.9678676675182486e-17;
    high_ = omega * inverse_pi;
    low_ = std::fma(omega, inverse_pi, -high_) + omega * rest;
  }
  float round(float u) const { return static_cast<float>(u * high_); }
  double round(double u) const { return u * high_; }
  float lost(float u, float rounded) const {
    return static_cast<float>(std::fma(static_cast<double>(u), high_, -double{rounded}) + u * low_);
  }
  double lost(double u, double rounded) const { return std::fma(u, high_, -rounded) + u * low_; }

private:
  double high_, low_;
};

// One of the two factors, and whether it is the one that carries omega / pi. A packed factor has
// its sizes in `rows`, which then has no data.
template <class Real> struct factor {
  matrix_view<const Real> rows;
  bool scaled;
  const packed_factor *packed = nullptr;

  Real entry(index r, index l) const {
    return packed == nullptr ? rows(r, l) : static_cast<Real>(decoded(r * packed->cols + l));
  }

private:
  float decoded(index i) const {
    const index bit = i * packed->bits, byte = bit / 8;
    const unsigned shift = static_cast<unsigned>(bit % 8);
    unsigned code = static_cast<unsigned>(packed->codes[byte]) >> shift;
    if (shift + static_cast<unsigned>(packed->bits) > 8)
      code |= static_cast<unsigned>(packed->codes[byte + 1]) << (8 - shift);
    return packed->table[code & ((1U << packed->bits) - 1U)];
  }
};

// Copies rows [first, first + count) and columns [depth_begin, depth_begin + depth) to
// to[r * row_step + l * depth_step].
template <class Real>
void pack(const factor<Real> &from, const half_turn_scale &scale, index first, index count,
          index depth_begin, index depth, Real *to, Real *low, index row_step, index depth_step) {
  for (index r = 0; r < count; ++r)
    for (index l = 0; l < depth; ++l) {
      const Real u = from.entry(first + r, depth_begin + l);
      const index place = r * row_step + l * depth_step;
      to[place] = from.scaled ? scale.round(u) : u;
      if (low != nullptr && from.scaled)
        low[place] = scale.lost(u, to[place]);
    }
}

template <class Real> std::unique_ptr<Real[]> uninitialised(index n) {
  return std::make_unique_for_overwrite<Real[]>(static_cast<std::size_t>(std::max<index>(n, 1)));
}

// Where the phases of several panels go: panel p, row c at data + p * panel_step + c * row_step.
template <class Real> struct tile_place {
  Real *data;
  index panel_step, row_step;
};

// Phases, in half-turns, of `n_panels` panels of one factor against up to tile_cols rows of the
// other.
template <class Real> class phase_maker {
public:
  phase_maker(factor<Real> panel_side, factor<Real> block_side, const options &opts, index n_panels)
      : panel_side_(panel_side), block_side_(block_side), scale_(opts.omega),
        exact_(opts.exact_phase), depth_(panel_side.rows.cols),
        depth_step_(std::min(depth_, depth_block)),
        panels_(uninitialised<Real>(n_panels * panel_size())),
        block_(uninitialised<Real>(tile_cols * depth_step_)) {
    if (exact_) {
      panels_low_ = uninitialised<Real>(n_panels * panel_size());
      block_low_ = uninitialised<Real>(tile_cols * depth_step_);
    }
  }

  // Chooses the panels of rows [first, first + count) of the panel side. The lanes beyond have
  // phase zero.
  void set_panels(index first, index count) {
    first_ = first;
    count_ = count;
    if (depth_ <= depth_block)
      pack_panels(0, depth_);
  }

  // Makes the phases against rows [first, first + count) of the block side, and calls
  // use(panel, phases) on each panel's while they are in cache.
  template <class Use> void make(index first, index count, tile_place<Real> to, Use &&use) {
    for (index l = 0; l == 0 || l < depth_; l += depth_block) {
      const index depth = std::min(depth_block, depth_ - l);
      take_block(first, count, l, depth);
      if (depth_ > depth_block)
        pack_panels(l, depth);
      for (index p = 0; p * lanes() < count_; ++p) {
        Real *out = to.data + p * to.panel_step;
        extend(p, depth, count, l == 0, out, to.row_step);
        if (l + depth >= depth_)
          use(p, out);
      }
    }
  }

  // Whether `apply_few` can do the work, and is the faster way: for many columns of the factors the
  // sums of more than two right-hand sides leave the phases too few registers.
  bool takes_few(index n_rhs) const {
    return n_rhs <= (depth_ <= 16 ? isa::few_columns : 2) && !exact_ && depth_ <= depth_block;
  }

  // sums[p][t][lane] += sum over rows [first, first + count) of sines times x[t][row], for all
  // panels.
  void apply_few(index first, index count, const Real *x, index n_rhs, Real *sums) {
    take_block(first, count, 0, depth_);
    for (index p = 0; p * lanes() < count_; ++p)
      kernels<Real>().apply_few(panels_.get() + p * panel_size(), rows_, row_stride_, depth_, count,
                                x, n_rhs, sums + p * lanes() * n_rhs, lanes());
  }

  static index lanes() { return kernels<Real>().lanes; }

private:
  index panel_size() const { return lanes() * depth_step_; }

  // Rows of the block side where the kernels can read them: in place, or scaled and packed.
  void take_block(index first, index count, index depth_begin, index depth) {
    const auto &all = block_side_.rows;
    const bool in_place =
        !exact_ && !block_side_.scaled && block_side_.packed == nullptr && all.col_stride == 1;
    rows_ = in_place ? all.block(first, depth_begin, count, depth).data : block_.get();
    row_stride_ = in_place ? all.row_stride : depth;
    if (!in_place)
      pack(block_side_, scale_, first, count, depth_begin, depth, block_.get(), block_low_.get(),
           depth, index{1});
  }

  void pack_panels(index depth_begin, index depth) {
    for (index p = 0; p * lanes() < count_; ++p) {
      const index rows = std::min(lanes(), count_ - p * lanes());
      Real *panel = panels_.get() + p * panel_size();
      Real *low = exact_ ? panels_low_.get() + p * panel_size() : nullptr;
      if (rows < lanes()) {
        std::fill_n(panel, depth * lanes(), Real(0));
        if (exact_)
          std::fill_n(low, depth * lanes(), Real(0));
      }
      pack(panel_side_, scale_, first_ + p * lanes(), rows, depth_begin, depth, panel, low,
           index{1}, lanes());
    }
  }

  void extend(index p, index depth, index count, bool fresh, Real *out, index row_step) {
    const Real *panel = panels_.get() + p * panel_size();
    if (exact_)
      kernels<Real>().phases_exact(
          panel, panel_side_.scaled ? panels_low_.get() + p * panel_size() : nullptr, block_.get(),
          panel_side_.scaled ? nullptr : block_low_.get(), depth, count, fresh, out, row_step);
    else
      kernels<Real>().phases(panel, rows_, row_stride_, depth, count, fresh, out, row_step);
  }

  factor<Real> panel_side_, block_side_;
  half_turn_scale scale_;
  bool exact_;
  index depth_, depth_step_;
  index first_ = 0, count_ = 0, row_stride_ = 0;
  const Real *rows_ = nullptr;
  std::unique_ptr<Real[]> panels_, panels_low_, block_, block_low_;
};

// Argument checks of the drivers.
inline std::string shape_text(index rows, index cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}

template <class Real>
void check_factors(matrix_view<const Real> U, matrix_view<const Real> V, const options &opts) {
  require(U.cols == V.cols, "V: got " + std::to_string(V.cols) + " columns, want " +
                                std::to_string(U.cols) + " as in U");
  require(std::isfinite(opts.omega), "omega: want a finite number");
  require(std::isfinite(opts.gain) && opts.gain != 0, "gain: want a finite number other than 0");
}

template <class Real>
void check_shape(const char *name, matrix_view<Real> a, index rows, index cols) {
  require(a.rows == rows && a.cols == cols, std::string(name) + ": got " +
                                                shape_text(a.rows, a.cols) + ", want " +
                                                shape_text(rows, cols));
}

// X has the rows of V, and Y, as a result or as its gradient, those of U.
template <class Real, class Result>
void check_product(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
                   matrix_view<Result> Y, const options &opts, const char *name_of_y = "Y") {
  check_factors(U, V, opts);
  check_shape("X", X, V.rows, X.cols);
  check_shape(name_of_y, Y, U.rows, X.cols);
}

// Lets worker 0 look for Ctrl-C between tiles, and tells the others to leave their chunk: a chunk
// can last for seconds when n is large.
class tile_stop {
public:
  // True: leave the chunk; the exception is on its way.
  bool check(int worker, interrupt_poll &poll) {
    if (worker != 0)
      return stop_.load(std::memory_order_relaxed);
    try {
      poll();
    } catch (...) {
      stop();
      throw;
    }
    return false;
  }
  void stop() { stop_.store(true); }

private:
  std::atomic<bool> stop_{false};
};

// As parallel_for, for chunks that may wait for one another: a chunk that throws stops them all.
template <class Body> void parallel_chunks(index n, tile_stop &stop, Body &&body, int workers) {
  const auto guarded = [&](index begin, index end, int worker) {
    try {
      for (index c = begin; c < end; ++c)
        body(c, worker);
    } catch (...) {
      stop.stop();
      throw;
    }
  };
  parallel_for(n, 1, guarded, workers);
}

} // namespace eigenflow::sine::detail
