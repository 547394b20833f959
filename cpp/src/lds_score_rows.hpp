// SPDX-License-Identifier: BSD-3-Clause
// Matrices of the score: their rows fill whole cache lines, which the products of isa/products.hpp
// ask for. What pads a row is zero and stays so.
#pragma once

#include "isa/lds_score.hpp"
#include "isa/products.hpp"
#include "small_matrix.hpp"

#include <memory>
#include <vector>

namespace eigenflow::lds::scoring {

using small::buffer;
using small::count;

struct alignas(64) line {
  double at[8];
};

// A matrix that somebody else keeps.
struct row_view {
  const double *data = nullptr;
  index rows = 0, cols = 0, width = 0;
  const double *row(index i) const { return data + i * width; }
  double operator()(index i, index j) const { return data[i * width + j]; }
};

class row_matrix {
public:
  row_matrix() = default;
  row_matrix(index rows, index cols) { reset(rows, cols); }
  row_matrix(index rows, index cols, const double *packed) { reset(rows, cols, packed); }

  // Zeros of this shape, in memory that is kept.
  void reset(index rows, index cols) {
    rows_ = rows;
    cols_ = cols;
    width_ = (cols + 7) / 8 * 8;
    lines_.assign(count(rows * (width_ / 8)), line{});
  }
  void reset(index rows, index cols, const double *packed) {
    reset(rows, cols);
    for (index i = 0; i < rows; ++i)
      std::copy_n(packed + i * cols, cols, row(i));
  }
  void clear() { lines_.assign(lines_.size(), line{}); }
  index rows() const { return rows_; }
  index cols() const { return cols_; }
  index width() const { return width_; }
  index size() const { return rows_ * width_; }
  double *data() { return lines_.empty() ? nullptr : lines_.front().at; }
  double *row(index i) { return data() + i * width_; }
  double &operator()(index i, index j) { return row(i)[j]; }
  double operator()(index i, index j) const { return row_view(*this)(i, j); }
  operator row_view() const {
    return {lines_.empty() ? nullptr : lines_.front().at, rows_, cols_, width_};
  }

private:
  index rows_ = 0, cols_ = 0, width_ = 0;
  std::vector<line> lines_;
};

// Copies of matrices, one after the other in pieces of memory that stay where they are.
class row_store {
public:
  row_view keep(const row_view &a) {
    const index need = a.rows * (a.width / 8);
    if (left_ < need)
      grow(need);
    line *place = next_;
    std::copy_n(a.data, a.rows * a.width, place->at);
    next_ += need;
    left_ -= need;
    return {place->at, a.rows, a.cols, a.width};
  }

private:
  void grow(index need);
  std::vector<std::unique_ptr<line[]>> pieces_;
  line *next_ = nullptr;
  index left_ = 0, growth_ = 256;
};

inline void add_product(const isa::strided_matrix<double> &a, const row_view &b, double *out) {
  if (b.width > 0)
    isa::product().accumulate_double(a, b.data, b.width, out);
}

// out += a b.
inline void add_product(const row_view &a, const row_view &b, row_matrix &out) {
  add_product({a.data, a.rows, a.cols, a.width, 1}, b, out.data());
}

// out += a' b.
inline void add_left_transposed(const row_view &a, const row_view &b, row_matrix &out) {
  add_product({a.data, a.cols, a.rows, 1, a.width}, b, out.data());
}

// Row `to` of out += row i of a' b.
inline void add_left_transposed_row(index i, const row_view &a, const row_view &b, index to,
                                    row_matrix &out) {
  add_product({a.data + i, 1, a.rows, 1, a.width}, b, out.row(to));
}

inline void add(double scale, const row_view &a, row_matrix &out) {
  isa::lds_score().add(a.rows * a.width, scale, a.data, out.data());
}

inline void negate(const row_view &a, row_matrix &out) {
  out.reset(a.rows, a.cols);
  add(-1.0, a, out);
}

inline void transpose(const row_view &a, row_matrix &out) {
  out.reset(a.cols, a.rows);
  isa::lds_score().transpose(a.rows, a.cols, a.data, a.width, out.data(), out.width());
}

inline void symmetrise(row_matrix &a) {
  isa::lds_score().symmetrise(a.rows(), a.width(), a.data());
}

// Whether two covariances agree to rounding in units of their own standard deviations; `units`
// holds one number a row.
inline bool close(const row_view &a, const row_view &b, buffer &units) {
  constexpr double rtol = 8 * 2.3e-16;
  return isa::lds_score().close(a.rows, a.width, a.data, b.data, rtol, units.data());
}

// L = A - K'C.
void set_closed_loop(const row_view &A, const row_view &minus_K, const row_view &C, row_matrix &L);

} // namespace eigenflow::lds::scoring
