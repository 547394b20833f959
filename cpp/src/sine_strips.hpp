// SPDX-License-Identifier: BSD-3-Clause
// One strip of columns of S in the reverse mode: what it does with a group of rows.
#pragma once

#include "sine_tiles.hpp"

#include <vector>

namespace eigenflow::sine::detail {

constexpr index group_rows = 64;        // a whole number of panels at every level
constexpr index max_strip = 384;        // columns: S and G of a strip and a group stay in cache
constexpr index rhs_block = 256;        // right-hand sides that meet a tile at once
constexpr index factor_block = 128;     // columns of V that are packed at once
constexpr index packed_bytes = 3 << 19; // of a strip's rows of X, in blocks that are kept

// Copies `from` times a scale to to[r * row_step + c * col_step], reading along contiguous memory.
template <class Real>
void copy_scaled(matrix_view<const Real> from, Real scale, Real *to, index row_step,
                 index col_step) {
  if (from.row_stride == 1 && from.col_stride != 1)
    return copy_scaled<Real>(from.transposed(), scale, to, col_step, row_step);
  for (index r = 0; r < from.rows; ++r)
    for (index c = 0; c < from.cols; ++c)
      to[r * row_step + c * col_step] = from(r, c) * scale;
}

template <class Real> void fill_zero(matrix_view<Real> a) {
  for (index r = 0; r < a.rows; ++r)
    for (index c = 0; c < a.cols; ++c)
      a(r, c) = 0;
}

// Sums over groups of rows: out[c] += sum over i of tile[c][i] * rows[i], for the columns c of a
// strip. Whole registers go to `out` itself, the odd columns at its end through a copy.
template <class Real> class strip_sum {
public:
  explicit strip_sum(bool wanted)
      : panel_(uninitialised<Real>(wanted ? group_rows * lanes() : 1)),
        tail_(uninitialised<Real>(wanted ? max_strip * vector_lanes() : 1)) {}

  void begin(matrix_view<Real> out) {
    out_ = out;
    if (out.data == nullptr)
      return;
    fill_zero(out);
    std::fill_n(tail_.get(), out.rows * vector_lanes(), Real(0));
  }

  void add(const Real *tile, matrix_view<const Real> rows, Real scale) {
    for (index c = 0; out_.data != nullptr && c < out_.cols; c += lanes()) {
      const index cols = std::min(lanes(), out_.cols - c);
      if (cols < lanes())
        std::fill_n(panel_.get(), rows.rows * lanes(), Real(0));
      copy_scaled<Real>(rows.block(0, c, rows.rows, cols), scale, panel_.get(), lanes(), 1);
      const index whole = cols / vector_lanes() * vector_lanes();
      if (whole > 0)
        multiply(tile, rows.rows, 0, whole, &out_(0, c), out_.row_stride);
      if (whole < cols)
        multiply(tile, rows.rows, whole, vector_lanes(), tail_.get(), vector_lanes());
    }
  }

  void end() {
    if (out_.data == nullptr)
      return;
    const index whole = out_.cols / vector_lanes() * vector_lanes();
    for (index r = 0; r < out_.rows; ++r)
      for (index c = whole; c < out_.cols; ++c)
        out_(r, c) = tail_[static_cast<std::size_t>(r * vector_lanes() + c - whole)];
  }

private:
  static index lanes() { return kernels<Real>().lanes; }
  static index vector_lanes() { return kernels<Real>().vector_lanes; }

  void multiply(const Real *tile, index depth, index first, index width, Real *to, index step) {
    kernels<Real>().apply(panel_.get() + first, lanes(), tile, group_rows, depth, out_.rows, width,
                          to, step);
  }

  matrix_view<Real> out_;
  std::unique_ptr<Real[]> panel_, tail_;
};

template <class Real> struct gradient_problem {
  matrix_view<const Real> U, V, X, Y; // Y: the gradient with respect to S X
  gradient_views<Real> out;
  const options &opts;
  matrix_view<const Real> W = {}; // with data: G = S - W instead of Y X^T
};

// One worker's memory, and its work on one strip and one group.
template <class Real> class strip_worker {
public:
  explicit strip_worker(const gradient_problem<Real> &p)
      : p_(p), phases_({p.U, !p.opts.scale_right}, {p.V, p.opts.scale_right}, p.opts,
                       group_rows / lanes()),
        sines_(uninitialised<Real>(max_strip * group_rows)),
        slopes_(uninitialised<Real>(max_strip * group_rows)),
        y_(uninitialised<Real>(std::min(rhs_block, p.X.cols) * group_rows)),
        x_(uninitialised<Real>(std::min(n_slots() * rhs_block, p.X.cols) * max_strip)),
        v_(uninitialised<Real>(std::min(factor_block, p.V.cols) * max_strip)),
        u_sum_(uninitialised<Real>(std::min(factor_block, p.V.cols) * group_rows)),
        v_sum_(p.out.V.data != nullptr), x_sum_(p.out.X.data != nullptr) {}

  void begin(index first, index cols, const gradient_views<Real> &sums) {
    first_ = first;
    cols_ = cols;
    packed_rhs_.assign(static_cast<std::size_t>(n_slots()), -1);
    packed_factor_ = -1;
    total_ = {0, {0, 0}};
    v_sum_.begin(sums.V);
    x_sum_.begin(sums.X);
  }

  // Rows [i, i + rows) of S. `before_adding` waits for the strip before, and is false to stop.
  template <class Wait> bool group(index i, index rows, Wait &&before_adding) {
    phases_.set_panels(i, rows);
    for (index c = 0; c < cols_; c += tile_cols) {
      const tile_place<Real> to{sines_.get() + c * group_rows, lanes(), group_rows};
      if (rows < group_rows)
        std::fill_n(to.data, std::min(tile_cols, cols_ - c) * group_rows, Real(0));
      phases_.make(first_ + c, std::min(tile_cols, cols_ - c), to, [](index, Real *) {});
    }
    p_.W.data == nullptr ? outer_product(i, rows) : residual(i, rows);
    Real dots[group_rows] = {};
    kernels<Real>().sines_and_slopes(sines_.get(), slopes_.get(), cols_, group_rows, dots);
    for (const Real dot : dots)
      total_.gradients.gain += static_cast<double>(dot);
    const auto inverse_gain = static_cast<Real>(1 / p_.opts.gain);
    x_sum_.add(sines_.get(), p_.Y.block(i, 0, rows, p_.Y.cols), inverse_gain);
    v_sum_.add(slopes_.get(), p_.U.block(i, 0, rows, p_.U.cols), static_cast<Real>(p_.opts.omega));
    return add_to_left(i, rows, before_adding);
  }

  residual_result end() {
    v_sum_.end();
    x_sum_.end();
    const auto &sums = total_.gradients;
    return {total_.loss, {sums.omega, -sums.gain / p_.opts.gain}};
  }

private:
  static index lanes() { return kernels<Real>().lanes; }

  // slopes[c][row] = G / gain.
  void outer_product(index i, index rows) {
    for (index t = 0; t < p_.X.cols; t += rhs_block) {
      const index depth = std::min(rhs_block, p_.X.cols - t);
      const auto x = right_hand_sides(t, depth);
      const auto inverse_gain = static_cast<Real>(1 / p_.opts.gain);
      for (index p = 0; p * lanes() < group_rows; ++p) {
        const index count = std::clamp<index>(rows - p * lanes(), 0, lanes());
        if (count < lanes())
          std::fill_n(y_.get(), depth * lanes(), Real(0));
        copy_scaled<Real>(p_.Y.block(i + p * lanes(), t, count, depth), inverse_gain, y_.get(), 1,
                          lanes());
        kernels<Real>().phases(y_.get(), x.data, x.row_stride, depth, cols_, t == 0,
                               slopes_.get() + p * lanes(), group_rows);
      }
    }
  }

  // slopes[c][row] = (S - W) / gain, and its part of the loss. The sines are made twice: here, and
  // where the slopes are multiplied by cosines.
  void residual(index i, index rows) {
    std::copy_n(sines_.get(), cols_ * group_rows, slopes_.get());
    kernels<Real>().sines(slopes_.get(), cols_ * group_rows);
    const auto inverse_gain = static_cast<Real>(1 / p_.opts.gain);
    for (index c = 0; c < cols_; ++c) {
      Real *slope = slopes_.get() + c * group_rows;
      std::fill(slope + rows, slope + group_rows, Real(0));
      double sum = 0;
      for (index r = 0; r < rows; ++r) {
        const Real difference = slope[r] * inverse_gain - p_.W(i + r, first_ + c);
        sum += static_cast<double>(difference) * static_cast<double>(difference);
        slope[r] = difference * inverse_gain;
      }
      total_.loss += sum / 2;
    }
  }

  // Blocks of right-hand sides whose packed copies are kept for all groups of rows. The last one
  // is packed again and again when there are more.
  index n_slots() const {
    const index slot_bytes = rhs_block * max_strip * static_cast<index>(sizeof(Real));
    return std::clamp<index>((p_.X.cols + rhs_block - 1) / rhs_block, 1, packed_bytes / slot_bytes);
  }

  // The strip's rows of X with contiguous right-hand sides: X itself, or a copy.
  matrix_view<const Real> right_hand_sides(index t, index depth) {
    const auto x = p_.X.block(first_, t, cols_, depth);
    if (x.col_stride == 1)
      return x;
    const index slot = std::min(t / rhs_block, n_slots() - 1);
    Real *to = x_.get() + slot * rhs_block * max_strip;
    auto &packed = packed_rhs_[static_cast<std::size_t>(slot)];
    if (packed != t)
      copy_scaled<Real>(x, Real(1), to, depth, 1);
    packed = t;
    return row_major<const Real>(to, cols_, depth);
  }

  // Adds omega Q V to the group's rows of dU, and <U, Q V> to the gradient of omega.
  template <class Wait> bool add_to_left(index i, index rows, Wait &&before_adding) {
    for (index l = 0; l < p_.V.cols; l += factor_block) {
      const index count = std::min(factor_block, p_.V.cols - l);
      if (packed_factor_ != l)
        copy_scaled<Real>(p_.V.block(first_, l, cols_, count), Real(1), v_.get(), 1, cols_);
      packed_factor_ = l;
      std::fill_n(u_sum_.get(), count * group_rows, Real(0));
      for (index c = 0; c < cols_; c += tile_cols)
        for (index p = 0; p < group_rows; p += lanes())
          kernels<Real>().apply(slopes_.get() + c * group_rows + p, group_rows, v_.get() + c, cols_,
                                std::min(tile_cols, cols_ - c), count, lanes(), u_sum_.get() + p,
                                group_rows);
      if (!before_adding())
        return false;
      for (index r = 0; r < rows; ++r)
        for (index c = 0; c < count; ++c)
          add_entry(i + r, l + c, u_sum_[static_cast<std::size_t>(c * group_rows + r)]);
    }
    return true;
  }

  void add_entry(index i, index l, Real sum) {
    total_.gradients.omega += static_cast<double>(p_.U(i, l)) * static_cast<double>(sum);
    if (p_.out.U.data != nullptr)
      p_.out.U(i, l) += static_cast<Real>(p_.opts.omega) * sum;
  }

  const gradient_problem<Real> &p_;
  phase_maker<Real> phases_;
  std::unique_ptr<Real[]> sines_, slopes_, y_, x_, v_, u_sum_;
  strip_sum<Real> v_sum_, x_sum_;
  index first_ = 0, cols_ = 0, packed_factor_ = -1;
  std::vector<index> packed_rhs_;
  residual_result total_{0, {0, 0}};
};

} // namespace eigenflow::sine::detail
