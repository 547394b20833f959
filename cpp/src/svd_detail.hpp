// SPDX-License-Identifier: BSD-3-Clause
// What the parts of the svd driver share.
#pragma once

#include <eigenflow/blas.hpp>
#include <eigenflow/svd.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

namespace eigenflow::svd {

inline std::size_t as_size(index n) { return static_cast<std::size_t>(n); }

template <class T> constexpr double epsilon() {
  return static_cast<double>(std::numeric_limits<T>::epsilon());
}

// Packed column-major memory without initial values; grow() keeps the columns.
template <class T> class columns {
public:
  columns() = default;
  columns(index rows, index cols) : rows_(rows), capacity_(cols), data_(allocate(rows, cols)) {}
  matrix_view<T> view(index begin, index end) {
    return {data_.get() + begin * rows_, rows_, end - begin, 1, std::max<index>(1, rows_)};
  }
  index capacity() const { return capacity_; }
  void grow(index cols) {
    if (cols <= capacity_)
      return;
    const index larger = std::max(cols, capacity_ + capacity_ / 2);
    auto fresh = allocate(rows_, larger);
    std::copy_n(data_.get(), rows_ * capacity_, fresh.get());
    data_ = std::move(fresh);
    capacity_ = larger;
  }

private:
  static std::unique_ptr<T[]> allocate(index rows, index cols) {
    return std::make_unique_for_overwrite<T[]>(as_size(rows * cols));
  }
  index rows_ = 0, capacity_ = 0;
  std::unique_ptr<T[]> data_;
};

template <class T> matrix_view<T> packed(std::vector<T> &data, index rows, index cols) {
  data.resize(as_size(rows * cols));
  return {data.data(), rows, cols, 1, std::max<index>(1, rows)};
}

template <class From, class To> void copy(matrix_view<From> from, matrix_view<To> to) {
  for (index j = 0; j < from.cols; ++j)
    for (index i = 0; i < from.rows; ++i)
      to(i, j) = static_cast<To>(from(i, j));
}

// Every matrix that goes to LAPACK passes here: its loops may not end on an infinity.
template <class T> void require_finite(matrix_view<T> a);

// g (full, symmetric) = y^T y in double precision, whatever T.
template <class T> void gram(matrix_view<const T> y, matrix_view<double> g);

// c = a b + beta c for a of any layout that has one unit stride; b and c column-major.
template <class T>
void multiply(matrix_view<const T> a, matrix_view<const T> b, T beta, matrix_view<T> c);

// w -= v (v^T w); the coefficients go to h (v.cols x w.cols).
template <class T> void project_out(matrix_view<const T> v, matrix_view<T> w, matrix_view<T> h);

// The basis in the short space and its image: Y = A V for the columns [0, size).
template <class T> struct subspace {
  columns<T> v, y;
  index size = 0;
  bool identity = false; // v is the identity and holds nothing
  // A^T Y = V (Y^T Y) + V_next next E^T, E the last next.cols unit vectors; empty when unknown.
  std::vector<double> next;
  index next_rows = 0, next_cols = 0;
  int passes = 0;
};

// What is wanted, in the units of the scaled operator.
struct target {
  index rank;          // at most
  double tolerance;    // negative: none
  double norm_squared; // of A
  double floor;        // energies below floor * norm_squared are rounding
  index oversampling;
};

// Least rank whose tail energy is within the tolerance, or -1 when `count` values do not reach it.
index rank_for(const double *squares, index count, const target &wanted);

template <class T> struct factors {
  index rank = 0;
  std::vector<T> left, right;    // column-major
  std::vector<double> s;         // rank values, before rounding to T
  std::vector<double> residuals; // empty when not known without another product
  double tail_squared = -1;      // sum of the discarded squares where all are known
};

template <class T>
bool build_krylov(const linear_operator<T> &a, const target &wanted, std::uint64_t key, int workers,
                  subspace<T> &space);
template <class T>
void build_subspace(const linear_operator<T> &a, index size, int power_iterations,
                    std::uint64_t key, int workers, subspace<T> &space);
template <class T> factors<T> extract(subspace<T> &space, const target &wanted);
template <class T> factors<T> exact_factors(const linear_operator<T> &a, const target &wanted);

} // namespace eigenflow::svd
