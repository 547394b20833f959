// SPDX-License-Identifier: BSD-3-Clause
// Dense memory as an operator.
#include "isa/svd.hpp"
#include "svd_detail.hpp"
#include "svd_products.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::svd {
namespace {

template <class T> double row_sum(vector_view<const T> row, double scale) {
  if constexpr (sizeof(T) == sizeof(float))
    return isa::svd().sum_squares_float(row.data, row.size, row.stride, scale);
  else
    return isa::svd().sum_squares_double(row.data, row.size, row.stride, scale);
}

// Rows as the longer run of memory.
template <class T> matrix_view<T> by_memory_rows(matrix_view<T> a) {
  return std::abs(a.row_stride) < std::abs(a.col_stride) ? a.transposed() : a;
}

template <class T> double sum_squares(matrix_view<const T> a, double scale, int workers) {
  const matrix_view<const T> rows = by_memory_rows(a);
  if (rows.rows == 0 || rows.cols == 0)
    return 0;
  const index grain = std::max<index>(1, (index{1} << 18) / rows.cols);
  std::vector<double> partial(as_size((rows.rows + grain - 1) / grain));
  parallel_for(
      rows.rows, grain,
      [&](index begin, index end, int) {
        double sum = 0;
        for (index i = begin; i < end; ++i)
          sum += row_sum(rows.row(i), scale);
        partial[as_size(begin / grain)] = sum;
      },
      workers);
  double total = 0;
  for (const double sum : partial)
    total += sum;
  return total;
}

template <class T> double largest_modulus(matrix_view<const T> a, bool &finite) {
  const matrix_view<const T> rows = by_memory_rows(a);
  double largest = 0;
  interrupt_poll poll;
  for (index i = 0; i < rows.rows; ++i, poll())
    for (index j = 0; j < rows.cols; ++j) {
      const double value = std::abs(static_cast<double>(rows(i, j)));
      finite = finite && std::isfinite(value);
      largest = std::max(largest, value);
    }
  return largest;
}

// Products square the scale twice (A^T A in T, Gram matrices in double).
template <class T> bool ordinary(double norm) {
  return sizeof(T) == sizeof(float) ? norm > 1e-12 && norm < 1e15 : norm > 1e-70 && norm < 1e70;
}

} // namespace

template <class T> magnitude measure(matrix_view<const T> a, int workers) {
  magnitude size;
  size.norm = size.scaled_norm = std::sqrt(sum_squares(a, 1.0, workers));
  if (ordinary<T>(size.norm))
    return size;
  const double largest = largest_modulus(a, size.finite);
  if (!size.finite || largest == 0)
    return size;
  int exponent = 0;
  std::frexp(largest, &exponent);
  // Two steps: 2^-exponent itself may overflow for subnormal matrices.
  size.scale = std::ldexp(1.0, std::clamp(-exponent, -1020, 1020));
  size.scaled_norm = std::sqrt(sum_squares(a, size.scale, workers));
  size.norm = size.scaled_norm / size.scale;
  return size;
}

template <class T>
dense_operator<T>::dense_operator(matrix_view<const T> a, const magnitude &size, int workers)
    : a_(a), size_(size), workers_(workers) {}

template <class T> void dense_operator<T>::apply(matrix_view<const T> x, matrix_view<T> y) const {
  few_columns<T>(a_, size_.scale, x, y, workers_);
}

template <class T>
void dense_operator<T>::apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const {
  few_columns_adjoint<T>(a_, size_.scale, x, y, workers_);
}

template <class T>
void dense_operator<T>::apply_both(matrix_view<const T> x, matrix_view<T> y,
                                   matrix_view<T> w) const {
  few_columns_both<T>(a_, size_.scale, x, y, w, workers_);
}

template <class T> void dense_operator<T>::to_dense(matrix_view<T> out) const {
  interrupt_poll poll;
  for (index j = 0; j < a_.cols; ++j, poll())
    for (index i = 0; i < a_.rows; ++i)
      out(i, j) = static_cast<T>(size_.scale * static_cast<double>(a_(i, j)));
}

template <class T> void linear_operator<T>::to_dense(matrix_view<T> out) const {
  constexpr index width = 64;
  columns<T> identity(cols(), std::min(width, cols()));
  for (index begin = 0; begin < cols(); begin += width) {
    const index n = std::min(width, cols() - begin);
    const matrix_view<T> x = identity.view(0, n);
    for (index j = 0; j < n; ++j) {
      std::fill_n(&x(0, j), x.rows, T(0));
      x(begin + j, j) = T(1);
    }
    apply(x, out.block(0, begin, rows(), n));
  }
}

#define EF_INSTANTIATE(T)                                                                          \
  template magnitude measure<T>(matrix_view<const T>, int);                                        \
  template class linear_operator<T>;                                                               \
  template class dense_operator<T>;
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::svd
