// SPDX-License-Identifier: BSD-3-Clause
// Blocks of columns: Gram matrices, projections, orthonormal bases.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::svd {
namespace {

constexpr double panel_flops = 2e9;

template <class T> bool is_finite(matrix_view<T> a) {
  for (index j = 0; j < a.cols; ++j)
    for (index i = 0; i < a.rows; ++i)
      if (!std::isfinite(a(i, j)))
        return false;
  return true;
}

void mirror_upper(matrix_view<double> g) {
  for (index j = 0; j < g.cols; ++j)
    for (index i = j + 1; i < g.rows; ++i)
      g(i, j) = g(j, i);
}

// q = q R^-1 with the upper factor of the Gram matrix g; false, with q unchanged, when the columns
// are too dependent (a condition above 1e7 would leave more than half of the digits wrong).
template <class T>
bool cholesky_step(matrix_view<T> q, matrix_view<double> g, matrix_view<double> r) {
  if (!is_finite(g) || blas::potrf<double>(blas::triangle::upper, g) != 0)
    return false;
  double least = std::numeric_limits<double>::infinity(), largest = 0;
  for (index j = 0; j < g.cols; ++j) {
    least = std::min(least, g(j, j));
    largest = std::max(largest, g(j, j));
    std::fill(&g(0, j) + j + 1, &g(0, j) + g.rows, 0.0);
  }
  if (!(least > 1e-7 * largest))
    return false;
  columns<T> factor(g.rows, g.cols);
  copy(g, factor.view(0, g.cols));
  blas::trsm<T>(blas::side::right, blas::triangle::upper, blas::transpose::no, T(1),
                factor.view(0, g.cols), q);
  // r = g r, both upper triangular.
  for (index j = 0; j < r.cols; ++j)
    for (index i = 0; i <= j; ++i) {
      double sum = 0;
      for (index l = i; l <= j; ++l)
        sum += g(i, l) * r(l, j);
      r(i, j) = sum;
    }
  return true;
}

template <class T> void householder(matrix_view<T> q, matrix_view<double> r) {
  require_finite(q);
  std::vector<T> tau(as_size(q.cols));
  const vector_view<T> reflectors{tau.data(), q.cols, 1};
  blas::geqrf<T>(q, reflectors);
  columns<double> held(r.rows, 2 * r.cols);
  const matrix_view<double> factor = held.view(0, r.cols), before = held.view(r.cols, 2 * r.cols);
  for (index j = 0; j < r.cols; ++j)
    for (index i = 0; i < r.rows; ++i)
      factor(i, j) = i <= j ? static_cast<double>(q(i, j)) : 0.0;
  copy(r, before);
  blas::gemm<double>(blas::transpose::no, blas::transpose::no, 1.0, factor, before, 0.0, r);
  blas::orgqr<T>(q, reflectors);
}

double distance_from_identity(matrix_view<double> g) {
  double sum = 0;
  for (index j = 0; j < g.cols; ++j)
    for (index i = 0; i < g.rows; ++i) {
      const double entry = g(i, j) - (i == j ? 1.0 : 0.0);
      sum += entry * entry;
    }
  return std::sqrt(sum);
}

} // namespace

template <class T> void require_finite(matrix_view<T> a) {
  require(is_finite(a), "A: holds, or leads to, values that are not finite");
}

template <class T> void gram(matrix_view<const T> y, matrix_view<double> g) {
  const index by_flops =
      static_cast<index>(panel_flops / static_cast<double>(std::max<index>(1, y.cols * y.cols)));
  const index height =
      std::clamp<index>(by_flops, 1, sizeof(T) == sizeof(float) ? 512 : y.rows + 1);
  columns<double> converted;
  if constexpr (sizeof(T) == sizeof(float))
    converted = columns<double>(std::min(height, y.rows), y.cols);
  for (index j = 0; j < g.cols; ++j)
    std::fill_n(&g(0, j), g.rows, 0.0);
  interrupt_poll poll;
  for (index begin = 0; begin < y.rows; begin += height, poll()) {
    const index n = std::min(height, y.rows - begin);
    const matrix_view<const T> panel = y.block(begin, 0, n, y.cols);
    if constexpr (sizeof(T) == sizeof(float)) {
      const matrix_view<double> part = converted.view(0, y.cols).block(0, 0, n, y.cols);
      copy(panel, part);
      blas::syrk<double>(blas::triangle::upper, blas::transpose::yes, 1.0, part, 1.0, g);
    } else {
      blas::syrk<double>(blas::triangle::upper, blas::transpose::yes, 1.0, panel, 1.0, g);
    }
  }
  mirror_upper(g);
}

template <class T>
void multiply(matrix_view<const T> a, matrix_view<const T> b, T beta, matrix_view<T> c) {
  if (a.row_stride == 1)
    blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(1), a, b, beta, c);
  else
    blas::gemm<T>(blas::transpose::yes, blas::transpose::no, T(1), a.transposed(), b, beta, c);
}

template <class T> void project_out(matrix_view<const T> v, matrix_view<T> w, matrix_view<T> h) {
  if (v.cols == 0)
    return;
  blas::gemm<T>(blas::transpose::yes, blas::transpose::no, T(1), v, w, T(0), h);
  blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), v, h, T(1), w);
}

template <class T> void orthonormalise(matrix_view<T> q, matrix_view<double> r) {
  require(q.rows >= q.cols, "q: want at least as many rows as columns");
  require(r.rows == q.cols && r.cols == q.cols, "r: want a square matrix, a row for each column");
  for (index j = 0; j < r.cols; ++j)
    for (index i = 0; i < r.rows; ++i)
      r(i, j) = i == j ? 1.0 : 0.0;
  columns<double> held(q.cols, q.cols);
  const matrix_view<double> g = held.view(0, q.cols);
  gram<T>(q, g);
  if (!cholesky_step(q, g, r))
    return householder(q, r);
  // The first step leaves an error of about condition^2 eps; the second one makes it eps when it
  // starts well inside 1.
  gram<T>(q, g);
  if (!(distance_from_identity(g) < 0.1) || !cholesky_step(q, g, r))
    householder(q, r);
}

#define EF_INSTANTIATE(T)                                                                          \
  template void require_finite<T>(matrix_view<T>);                                                 \
  template void gram<T>(matrix_view<const T>, matrix_view<double>);                                \
  template void multiply<T>(matrix_view<const T>, matrix_view<const T>, T, matrix_view<T>);        \
  template void project_out<T>(matrix_view<const T>, matrix_view<T>, matrix_view<T>);              \
  template void orthonormalise<T>(matrix_view<T>, matrix_view<double>);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::svd
