// SPDX-License-Identifier: BSD-3-Clause
// Products with a matrix that comes in row panels.
#include "svd_detail.hpp"
#include "svd_products.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <numeric>

namespace eigenflow::svd {
namespace {

constexpr double panel_flops = 2e9; // under 0.1 s on one core

// What a product wants of a stored matrix P: bit 0 transposes, bit 1 conjugates.
constexpr unsigned as_is = 0, flipped = 1, conj = 2, adjoint_bits = flipped | conj;

template <class T> void conjugate_block(matrix_view<T> x) {
  if constexpr (is_complex<T>)
    for (index j = 0; j < x.cols; ++j)
      for (index i = 0; i < x.rows; ++i)
        x(i, j) = std::conj(x(i, j));
}

// y = op(p) x + beta y for a panel of either order, x and y column-major. beta is 0 for an op that
// is not flipped.
template <class T>
void multiply_as(unsigned op, matrix_view<const T> p, matrix_view<const T> x, T beta,
                 matrix_view<T> y, int workers) {
  if constexpr (!is_complex<T>) {
    if ((op & flipped) == 0)
      return few_columns<T>(p, 1.0, x, beta, y, workers);
    return few_columns_adjoint<T>(p, 1.0, x, beta, y, workers);
  }
  if (p.row_stride != 1) {
    p = p.transposed();
    op ^= flipped;
  }
  if (op == conj) {
    // BLAS has no such product: conj(P) x = conj(P conj(x)).
    columns<T> held(x.rows, x.cols);
    const matrix_view<T> mirrored = held.view(0, x.cols);
    copy(x, mirrored);
    conjugate_block(mirrored);
    conjugate_block(y);
    blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(1), p, mirrored, beta, y);
    conjugate_block(y);
    return;
  }
  const auto how = (op & flipped) == 0 ? blas::transpose::no
                   : (op & conj) != 0  ? blas::transpose::adjoint
                                       : blas::transpose::yes;
  blas::gemm<T>(how, blas::transpose::no, T(1), p, x, beta, y);
}

template <class T> void clear(matrix_view<T> x) {
  for (index j = 0; j < x.cols; ++j)
    std::fill_n(&x(0, j), x.rows, T(0));
}

} // namespace

// body(panel, first row)
template <class T>
template <class Body>
void panel_operator<T>::for_panels(index block_cols, Body &&body) const {
  const double row_bytes = static_cast<double>(cols_) * sizeof(T);
  const double row_flops = 2 * static_cast<double>(cols_) * static_cast<double>(block_cols);
  const double by_cost =
      std::min(panel_bytes() / std::max(row_bytes, 1.0), panel_flops / std::max(row_flops, 1.0));
  const index height = std::clamp<index>(static_cast<index>(by_cost), 1, std::max<index>(1, rows_));
  columns<T> scratch = in_place() ? columns<T>() : columns<T>(cols_, height);
  interrupt_poll poll;
  for (index begin = 0; begin < rows_; begin += height, poll()) {
    const index n = std::min(height, rows_ - begin);
    matrix_view<T> block{nullptr, n, cols_, std::max<index>(1, cols_), 1};
    if (!in_place())
      block = scratch.view(0, n).transposed();
    body(panel(begin, block), begin);
  }
}

template <class T> void panel_operator<T>::apply(matrix_view<const T> x, matrix_view<T> y) const {
  const unsigned op = conjugated_ ? conj : as_is;
  for_panels(x.cols, [&](matrix_view<const T> part, index begin) {
    multiply_as<T>(op, part, x, T(0), y.block(begin, 0, part.rows, y.cols), workers_);
  });
}

template <class T>
void panel_operator<T>::apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const {
  const unsigned op = conjugated_ ? flipped : adjoint_bits;
  if (rows_ == 0)
    clear(y);
  for_panels(x.cols, [&](matrix_view<const T> part, index begin) {
    multiply_as<T>(op, part, x.block(begin, 0, part.rows, x.cols), begin > 0 ? T(1) : T(0), y,
                   workers_);
  });
}

template <class T>
void panel_operator<T>::apply_both(matrix_view<const T> x, matrix_view<T> y,
                                   matrix_view<T> w) const {
  const unsigned op = conjugated_ ? conj : as_is;
  if (rows_ == 0)
    clear(w);
  for_panels(2 * x.cols, [&](matrix_view<const T> part, index begin) {
    const matrix_view<T> image = y.block(begin, 0, part.rows, y.cols);
    multiply_as<T>(op, part, x, T(0), image, workers_);
    multiply_as<T>(op ^ adjoint_bits, part, image, begin > 0 ? T(1) : T(0), w, workers_);
  });
}

template <class T>
void panel_operator<T>::apply_gram(matrix_view<const T> x, matrix_view<T> w) const {
  const unsigned op = conjugated_ ? conj : as_is;
  columns<T> held;
  if (rows_ == 0)
    clear(w);
  for_panels(2 * x.cols, [&](matrix_view<const T> part, index begin) {
    if (begin == 0)
      held = columns<T>(part.rows, x.cols);
    const matrix_view<T> image = held.view(0, x.cols).block(0, 0, part.rows, x.cols);
    multiply_as<T>(op, part, x, T(0), image, workers_);
    multiply_as<T>(op ^ adjoint_bits, part, image, begin > 0 ? T(1) : T(0), w, workers_);
  });
}

template <class T>
void panel_operator<T>::sketch(matrix_view<const T> x, std::uint64_t key, index first_col,
                               int workers, matrix_view<T> y, matrix_view<T> w) const {
  const unsigned op = conjugated_ ? conj : as_is;
  columns<T> held;
  if (rows_ == 0)
    clear(w);
  for_panels(x.cols + w.cols, [&](matrix_view<const T> part, index begin) {
    if (begin == 0)
      held = columns<T>(part.rows, w.cols);
    const matrix_view<T> g = held.view(0, w.cols).block(0, 0, part.rows, w.cols);
    fill_gaussian<T>(key, begin, first_col, g, workers);
    multiply_as<T>(op, part, x, T(0), y.block(begin, 0, part.rows, y.cols), workers);
    multiply_as<T>(op ^ adjoint_bits, part, g, begin > 0 ? T(1) : T(0), w, workers);
  });
}

template <class T>
void panel_operator<T>::image_gram(matrix_view<const T> x, matrix_view<wide_of<T>> g) const {
  const unsigned op = conjugated_ ? conj : as_is;
  columns<T> held;
  clear(g);
  for_panels(2 * x.cols, [&](matrix_view<const T> part, index begin) {
    if (begin == 0)
      held = columns<T>(part.rows, x.cols);
    const matrix_view<T> image = held.view(0, x.cols).block(0, 0, part.rows, x.cols);
    multiply_as<T>(op, part, x, T(0), image, workers_);
    add_gram<T>(image, g);
  });
  mirror_upper(g);
}

template <class T> void panel_operator<T>::gram(matrix_view<wide_of<T>> g) const {
  clear(g);
  for_panels(cols_, [&](matrix_view<const T> part, index) { add_gram<T>(part, g); });
  mirror_upper(g);
  if (conjugated_)
    conjugate_block(g);
}

template <class T> void panel_operator<T>::to_dense(matrix_view<T> out) const {
  std::vector<index> all(as_size(cols_));
  std::iota(all.begin(), all.end(), index{0});
  gather(all, out);
}

template <class T>
void panel_operator<T>::gather(std::span<const index> which, matrix_view<T> out) const {
  for_panels(1, [&](matrix_view<const T> part, index begin) {
    for (index j = 0; j < out.cols; ++j)
      for (index i = 0; i < part.rows; ++i) {
        const T entry = part(i, which[as_size(j)]);
        out(begin + i, j) = conjugated_ ? conjugate(entry) : entry;
      }
  });
}

#define EF_INSTANTIATE(T) template class panel_operator<T>;
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
