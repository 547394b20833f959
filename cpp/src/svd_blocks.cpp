// SPDX-License-Identifier: BSD-3-Clause
// Blocks of columns: Gram matrices, projections, orthonormal bases.
#include "svd_detail.hpp"
#include "svd_products.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>
#include <eigenflow/rng.hpp>

namespace eigenflow::svd {
namespace {

constexpr double panel_flops = 2e9;
constexpr double well_conditioned = 0.03; // least over largest entry of a factor's diagonal
constexpr index few = 64; // columns: a Gram matrix is then no work for several threads

template <class T> bool is_finite(matrix_view<T> a) {
  for (index j = 0; j < a.cols; ++j)
    for (index i = 0; i < a.rows; ++i)
      if (!std::isfinite(std::real(a(i, j))) || !std::isfinite(std::imag(a(i, j))))
        return false;
  return true;
}

// q = q g^-1, g upper triangular. The product with the inverse runs on all workers, and loses no
// more digits than the condition of g has.
template <class T>
void divide_by_factor(matrix_view<T> q, matrix_view<wide_of<T>> g, bool by_inverse, int workers) {
  using W = wide_of<T>;
  const index k = g.cols;
  if (by_inverse && !is_complex<T>) {
    columns<W> held(k, k);
    const matrix_view<W> inverse = held.view(0, k);
    for (index j = 0; j < k; ++j)
      for (index i = 0; i < k; ++i)
        inverse(i, j) = W(i == j ? 1 : 0);
    blas::trsm<W>(blas::side::left, blas::triangle::upper, blas::transpose::no, W(1), g, inverse);
    return turn_columns<T>(q, inverse, workers);
  }
  columns<T> factor(k, k);
  copy(g, factor.view(0, k));
  blas::trsm<T>(blas::side::right, blas::triangle::upper, blas::transpose::no, T(1),
                factor.view(0, k), q);
}

// q = q R^-1 with the upper factor of the Gram matrix g; false, with q unchanged, when the columns
// are too dependent (a condition above 1e7 would leave more than half of the digits wrong).
template <class T>
bool cholesky_step(matrix_view<T> q, matrix_view<wide_of<T>> g, matrix_view<wide_of<T>> r,
                   int workers) {
  using W = wide_of<T>;
  if (!is_finite(g) || blas::potrf<W>(blas::triangle::upper, g) != 0)
    return false;
  double least = std::numeric_limits<double>::infinity(), largest = 0;
  for (index j = 0; j < g.cols; ++j) {
    least = std::min(least, std::real(g(j, j)));
    largest = std::max(largest, std::real(g(j, j)));
    std::fill(&g(0, j) + j + 1, &g(0, j) + g.rows, W(0));
  }
  if (!(least > 1e-7 * largest))
    return false;
  divide_by_factor<T>(q, g, least > well_conditioned * largest, workers);
  // r = g r, both upper triangular.
  for (index j = 0; j < r.cols; ++j)
    for (index i = 0; i <= j; ++i) {
      W sum = 0;
      for (index l = i; l <= j; ++l)
        sum += g(i, l) * r(l, j);
      r(i, j) = sum;
    }
  return true;
}

template <class T> void householder(matrix_view<T> q, matrix_view<wide_of<T>> r) {
  using W = wide_of<T>;
  columns<W> held(r.rows, 2 * r.cols);
  const matrix_view<W> factor = held.view(0, r.cols), before = held.view(r.cols, 2 * r.cols);
  thin_qr(q, factor);
  copy(r, before);
  multiply<W>(factor, before, W(0), r);
}

template <class W> double distance_from_identity(matrix_view<W> g) {
  double sum = 0;
  for (index j = 0; j < g.cols; ++j)
    for (index i = 0; i < g.rows; ++i)
      sum += squared<W>(g(i, j) - W(i == j ? 1 : 0));
  return std::sqrt(sum);
}

} // namespace

template <class T> void require_finite(matrix_view<T> a) {
  require(is_finite(a), "A: holds, or leads to, values that are not finite");
}

template <class T> void thin_qr(matrix_view<T> q, matrix_view<wide_of<T>> r) {
  using W = wide_of<T>;
  const index k = std::min(q.rows, q.cols);
  if (k == 0)
    return;
  require_finite(q);
  std::vector<T> tau(as_size(k));
  const vector_view<T> reflectors{tau.data(), k, 1};
  blas::geqrf<T>(q, reflectors);
  for (index j = 0; j < r.cols; ++j)
    for (index i = 0; i < k; ++i)
      r(i, j) = i <= j ? static_cast<W>(q(i, j)) : W(0);
  blas::orgqr<T>(q.block(0, 0, q.rows, k), reflectors);
}

template <class T>
void fill_gaussian(std::uint64_t key, index first_row, index first_col, matrix_view<T> x,
                   int workers) {
  if constexpr (is_complex<T>) {
    // Column j takes the real columns 2 j and 2 j + 1, each with half of the variance.
    using R = real_of<T>;
    const R half = static_cast<R>(std::sqrt(0.5));
    for (index j = 0; j < x.cols; ++j) {
      R *parts = reinterpret_cast<R *>(&x(0, j));
      rng::fill_normals<R>(key, first_row, 2 * (first_col + j),
                           {parts, x.rows, 2, 2 * x.row_stride, 1}, workers);
      for (index i = 0; i < x.rows; ++i)
        x(i, j) *= half;
    }
  } else {
    rng::fill_normals<T>(key, first_row, first_col, x, workers);
  }
}

template <class T>
void gaussian_product(std::uint64_t key, index first_col, matrix_view<const T> x, int workers,
                      matrix_view<T> c) {
  constexpr index height = 4096;
  columns<T> held(std::min(height, x.rows), c.rows);
  for (index begin = 0; begin < x.rows; begin += height) {
    const index n = std::min(height, x.rows - begin);
    const matrix_view<T> g = held.view(0, c.rows).block(0, 0, n, c.rows);
    fill_gaussian<T>(key, begin, first_col, g, workers);
    blas::gemm<T>(blas::transpose::adjoint, blas::transpose::no, T(1), g,
                  x.block(begin, 0, n, x.cols), begin > 0 ? T(1) : T(0), c);
  }
}

namespace {

template <class T> void fix_sign(vector_view<T> u, vector_view<T> v) {
  index at = 0;
  for (index i = 1; i < v.size; ++i)
    if (std::abs(v[i]) > std::abs(v[at]))
      at = i;
  if (v.size == 0 || (std::imag(v[at]) == 0 && !(std::real(v[at]) < 0)))
    return;
  const auto size = std::abs(v[at]);
  const T turn = conjugate(v[at]) / T(size);
  for (index i = 0; i < v.size; ++i)
    v[i] *= turn;
  for (index i = 0; i < u.size; ++i)
    u[i] *= turn;
  v[at] = T(size);
}

} // namespace

template <class T> void fix_signs(matrix_view<T> u, matrix_view<T> v, int workers) {
  parallel_for(
      v.cols, columns_at_once(u.rows + v.rows),
      [&](index begin, index end, int) {
        for (index j = begin; j < end; ++j)
          fix_sign(u.col(j), v.col(j));
      },
      workers);
}

template <class T> void add_gram(matrix_view<const T> y, matrix_view<wide_of<T>> g) {
  using W = wide_of<T>;
  // For y with rows as runs of memory: y^H y = conj(B B^H), B = y^T column-major.
  const bool by_rows = y.row_stride != 1 && y.col_stride == 1;
  if constexpr (is_complex<T>) {
    if (by_rows) {
      columns<T> turned(y.rows, y.cols);
      copy(y, turned.view(0, y.cols));
      return add_gram<T>(turned.view(0, y.cols), g);
    }
  }
  const auto op = by_rows ? blas::transpose::no : blas::transpose::adjoint;
  const matrix_view<const T> b = by_rows ? y.transposed() : y; // by columns
  const index length = by_rows ? b.cols : b.rows;
  const index by_flops =
      static_cast<index>(panel_flops / static_cast<double>(std::max<index>(1, y.cols * y.cols)));
  const index height = std::clamp<index>(by_flops, 1, std::is_same_v<T, W> ? length + 1 : 512);
  interrupt_poll poll;
  for (index begin = 0; begin < length; begin += height, poll()) {
    const index n = std::min(height, length - begin);
    const matrix_view<const T> part =
        by_rows ? b.block(0, begin, b.rows, n) : b.block(begin, 0, n, b.cols);
    if constexpr (std::is_same_v<T, W>) {
      blas::syrk<W>(blas::triangle::upper, op, 1.0, part, 1.0, g);
    } else {
      columns<W> converted(part.rows, part.cols);
      copy(part, converted.view(0, part.cols));
      blas::syrk<W>(blas::triangle::upper, op, 1.0, converted.view(0, part.cols), 1.0, g);
    }
  }
}

template <class T>
void gram(matrix_view<const T> y, matrix_view<wide_of<T>> g, int workers, const rank_group *ranks) {
  if (ranks != nullptr) {
    gram<T>(y, g, workers);
    return sum_over(ranks, g);
  }
  if constexpr (!is_complex<T>)
    if (y.cols > few)
      return own_gram<T>(y, 1.0, g, workers);
  for (index j = 0; j < g.cols; ++j)
    std::fill_n(&g(0, j), g.rows, wide_of<T>(0));
  add_gram<T>(y, g);
  mirror_upper(g);
}

template <class T>
void tall_product(matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c, int workers) {
  if constexpr (is_complex<T>)
    multiply<T>(a, b, T(0), c);
  else
    few_columns<T>(a, 1.0, b, T(0), c, workers);
}

template <class T>
void project_out(matrix_view<const T> v, matrix_view<T> w, matrix_view<T> h, int workers) {
  if (v.cols == 0)
    return;
  if constexpr (!is_complex<T>) {
    // h with the opposite sign, so that w += v h.
    const auto turn = [&] {
      for (index j = 0; j < h.cols; ++j)
        for (index i = 0; i < h.rows; ++i)
          h(i, j) = -h(i, j);
    };
    few_columns_adjoint<T>(v, 1.0, w, T(0), h, workers);
    turn();
    few_columns<T>(v, 1.0, h, T(1), w, workers);
    return turn();
  }
  blas::gemm<T>(blas::transpose::adjoint, blas::transpose::no, T(1), v, w, T(0), h);
  blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), v, h, T(1), w);
}

template <class T>
void turn_columns(matrix_view<T> q, matrix_view<const wide_of<T>> w, int workers) {
  constexpr index height = 4096;
  columns<T> rounded(w.rows, w.cols);
  const matrix_view<T> turn = rounded.view(0, w.cols);
  copy(w, turn);
  if constexpr (!is_complex<T>)
    return few_columns<T>(q, 1.0, turn, T(0), q.block(0, 0, q.rows, w.cols), workers);
  columns<T> held(std::min(height, q.rows), w.cols);
  for (index begin = 0; begin < q.rows; begin += height) {
    const index n = std::min(height, q.rows - begin);
    const matrix_view<T> part = held.view(0, w.cols).block(0, 0, n, w.cols);
    tall_product<T>(q.block(begin, 0, n, w.rows), turn, part, workers);
    copy(part, q.block(begin, 0, n, w.cols));
  }
}

template <class T>
void orthonormalise(matrix_view<T> q, matrix_view<wide_of<T>> r, int workers, bool once,
                    const rank_group *ranks) {
  using W = wide_of<T>;
  require(ranks != nullptr || q.rows >= q.cols, "q: want at least as many rows as columns");
  require(r.rows == q.cols && r.cols == q.cols, "r: want a square matrix, a row for each column");
  for (index j = 0; j < r.cols; ++j)
    for (index i = 0; i < r.rows; ++i)
      r(i, j) = i == j ? W(1) : W(0);
  columns<W> held(q.cols, q.cols);
  const matrix_view<W> g = held.view(0, q.cols);
  const auto by_reflectors = [&] {
    ranks == nullptr ? householder(q, r) : householder_over(*ranks, q, r);
  };
  gram<T>(q, g, workers, ranks);
  once = once || distance_from_identity(g) < 0.1;
  if (!cholesky_step(q, g, r, workers))
    return by_reflectors();
  // A step leaves an error of about condition^2 eps: it is eps when it starts well inside 1.
  if (once)
    return;
  gram<T>(q, g, workers, ranks);
  if (!(distance_from_identity(g) < 0.1) || !cholesky_step(q, g, r, workers))
    by_reflectors();
}

template <class T> void orthonormalise(matrix_view<T> q, matrix_view<wide_of<T>> r, int workers) {
  orthonormalise<T>(q, r, workers, false);
}

#define EF_INSTANTIATE(T)                                                                          \
  template void fill_gaussian<T>(std::uint64_t, index, index, matrix_view<T>, int);                \
  template void gaussian_product<T>(std::uint64_t, index, matrix_view<const T>, int,               \
                                    matrix_view<T>);                                               \
  template void fix_signs<T>(matrix_view<T>, matrix_view<T>, int);                                 \
  template void require_finite<T>(matrix_view<T>);                                                 \
  template void thin_qr<T>(matrix_view<T>, matrix_view<wide_of<T>>);                               \
  template void add_gram<T>(matrix_view<const T>, matrix_view<wide_of<T>>);                        \
  template void gram<T>(matrix_view<const T>, matrix_view<wide_of<T>>, int, const rank_group *);   \
  template void tall_product<T>(matrix_view<const T>, matrix_view<const T>, matrix_view<T>, int);  \
  template void project_out<T>(matrix_view<const T>, matrix_view<T>, matrix_view<T>, int);         \
  template void turn_columns<T>(matrix_view<T>, matrix_view<const wide_of<T>>, int);               \
  template void orthonormalise<T>(matrix_view<T>, matrix_view<wide_of<T>>, int);                   \
  template void orthonormalise<T>(matrix_view<T>, matrix_view<wide_of<T>>, int, bool,              \
                                  const rank_group *);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
