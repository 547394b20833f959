// SPDX-License-Identifier: BSD-3-Clause
// Memory, and rows that a source hands out, as operators; sums of squares, and the size of a matrix
// before anything else is squared.
#include "isa/svd.hpp"
#include "svd_detail.hpp"
#include "svd_products.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::svd {
namespace {

constexpr double cached_panel = 4 << 20; // bytes
constexpr double streamed_panel = 16
                                  << 20; // long reads, where rows are not consecutive in the file

double run_sum(const float *x, index n, index stride, double scale) {
  return isa::svd().sum_squares_float(x, n, stride, scale);
}
double run_sum(const double *x, index n, index stride, double scale) {
  return isa::svd().sum_squares_double(x, n, stride, scale);
}
template <class R> double run_sum(const std::complex<R> *x, index n, index stride, double scale) {
  const R *parts = reinterpret_cast<const R *>(x);
  if (stride == 1)
    return run_sum(parts, 2 * n, 1, scale);
  return run_sum(parts, n, 2 * stride, scale) + run_sum(parts + 1, n, 2 * stride, scale);
}

} // namespace

template <class T> double squared_norm(vector_view<const T> x) {
  return run_sum(x.data, x.size, x.stride, 1.0);
}

namespace {

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
          sum += run_sum(rows.row(i).data, rows.cols, rows.col_stride, scale);
        partial[as_size(begin / grain)] = sum;
      },
      workers);
  double total = 0;
  for (const double sum : partial)
    total += sum;
  return total;
}

// The larger of the parts of a complex number.
template <class T> double part_modulus(T x) {
  const double re = std::abs(static_cast<double>(std::real(x)));
  const double im = std::abs(static_cast<double>(std::imag(x)));
  return std::isnan(re) ? re : std::isnan(im) ? im : std::max(re, im);
}

template <class T> double largest_modulus(matrix_view<const T> a, bool &finite) {
  const matrix_view<const T> rows = by_memory_rows(a);
  double largest = 0;
  interrupt_poll poll;
  for (index i = 0; i < rows.rows; ++i, poll())
    for (index j = 0; j < rows.cols; ++j) {
      const double value = part_modulus(rows(i, j));
      finite = finite && std::isfinite(value);
      largest = std::max(largest, value);
    }
  return largest;
}

// Two steps to the exponent: 2^-exponent itself may overflow for subnormal matrices.
double scale_for(double largest) {
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0, std::clamp(-exponent, -1020, 1020));
}

template <class T> bool is_direct(matrix_view<const T> a) {
  const bool by_columns = a.row_stride == 1 && a.col_stride >= std::max<index>(1, a.rows);
  const bool by_rows = a.col_stride == 1 && a.row_stride >= std::max<index>(1, a.cols);
  return by_columns || by_rows;
}

template <class T> T scaled(T x, double scale) {
  return static_cast<T>(scale * static_cast<wide_of<T>>(x));
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
  size.scale = scale_for(largest);
  size.scaled_norm = std::sqrt(sum_squares(a, size.scale, workers));
  size.norm = size.scaled_norm / size.scale;
  return size;
}

template <class T>
dense_operator<T>::dense_operator(matrix_view<const T> a, const magnitude &size, int workers,
                                  bool streamed, bool conjugated)
    : panel_operator<T>(a.rows, a.cols, workers, conjugated), a_(a), size_(size),
      streamed_(streamed) {}

template <class T> std::unique_ptr<linear_operator<T>> dense_operator<T>::adjoint() const {
  return std::make_unique<dense_operator<T>>(a_.transposed(), size_, this->workers(), streamed_,
                                             is_complex<T> && !this->conjugated());
}

template <class T> bool dense_operator<T>::in_place() const {
  return size_.scale == 1 && is_direct(a_);
}

template <class T> double dense_operator<T>::panel_bytes() const {
  return streamed_ && a_.col_stride != 1 ? streamed_panel : cached_panel;
}

// A file whose rows are not consecutive is better read in long panels.
template <class T> bool dense_operator<T>::in_one_sweep() const {
  return !is_complex<T> && (!streamed_ || a_.col_stride == 1);
}

template <class T> void dense_operator<T>::apply(matrix_view<const T> x, matrix_view<T> y) const {
  if constexpr (!is_complex<T>)
    if (in_one_sweep())
      return few_columns<T>(a_, size_.scale, x, T(0), y, this->workers());
  panel_operator<T>::apply(x, y);
}

template <class T>
void dense_operator<T>::apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const {
  if constexpr (!is_complex<T>)
    if (in_one_sweep())
      return few_columns_adjoint<T>(a_, size_.scale, x, T(0), y, this->workers());
  panel_operator<T>::apply_adjoint(x, y);
}

template <class T>
void dense_operator<T>::apply_both(matrix_view<const T> x, matrix_view<T> y,
                                   matrix_view<T> w) const {
  if constexpr (!is_complex<T>)
    if (in_one_sweep())
      return few_columns_both<T>(a_, size_.scale, x, y, T(0), w, this->workers());
  panel_operator<T>::apply_both(x, y, w);
}

template <class T>
void dense_operator<T>::apply_gram(matrix_view<const T> x, matrix_view<T> w) const {
  if constexpr (!is_complex<T>)
    if (in_one_sweep())
      return few_columns_both<T>(a_, size_.scale, x, {}, T(0), w, this->workers());
  panel_operator<T>::apply_gram(x, w);
}

template <class T> void dense_operator<T>::gram(matrix_view<wide_of<T>> g) const {
  if constexpr (!is_complex<T>)
    if (!streamed_)
      return own_gram<T>(a_, size_.scale, g, this->workers());
  panel_operator<T>::gram(g);
}

template <class T> bool dense_operator<T>::quick_gram(matrix_view<wide_of<T>> g) const {
  if constexpr (std::is_same_v<T, float>)
    if (!streamed_) {
      own_gram<T>(a_, size_.scale, g, this->workers(), true);
      return true;
    }
  return false;
}

template <class T>
matrix_view<const T> dense_operator<T>::panel(index begin, matrix_view<T> scratch) const {
  const matrix_view<const T> part = a_.block(begin, 0, scratch.rows, a_.cols);
  if (in_place())
    return part;
  for (index i = 0; i < part.rows; ++i)
    for (index j = 0; j < part.cols; ++j)
      scratch(i, j) = scaled(part(i, j), size_.scale);
  return scratch;
}

template <class T> magnitude measure(const row_source<T> &source, int workers) {
  const index height =
      std::clamp<index>(static_cast<index>(streamed_panel / static_cast<double>(sizeof(T))) /
                            std::max<index>(1, source.cols()),
                        1, std::max<index>(1, source.rows()));
  columns<T> scratch(source.cols(), height);
  magnitude size;
  std::vector<double> norms;
  for (index begin = 0; begin < source.rows() && size.finite; begin += height) {
    const index n = std::min(height, source.rows() - begin);
    const matrix_view<T> block = scratch.view(0, n).transposed();
    source.read(begin, block);
    const magnitude part = measure<T>(matrix_view<const T>(block), workers);
    size.finite = part.finite;
    norms.push_back(part.norm);
  }
  const double largest = norms.empty() ? 0 : *std::max_element(norms.begin(), norms.end());
  if (size.finite && largest > 0 && std::isfinite(largest) && !ordinary<T>(largest))
    size.scale = scale_for(largest);
  size.scaled_norm = 0;
  for (const double norm : norms)
    size.scaled_norm = std::hypot(size.scaled_norm, norm * size.scale);
  size.norm = size.scaled_norm / size.scale;
  return size;
}

template <class T>
row_operator<T>::row_operator(const row_source<T> &source, const magnitude &size, int workers,
                              bool streamed)
    : panel_operator<T>(source.rows(), source.cols(), workers, false), source_(source), size_(size),
      streamed_(streamed) {}

template <class T> double row_operator<T>::panel_bytes() const {
  return streamed_ ? streamed_panel : cached_panel;
}

template <class T>
matrix_view<const T> row_operator<T>::panel(index begin, matrix_view<T> scratch) const {
  source_.read(begin, scratch);
  if (size_.scale != 1)
    for (index i = 0; i < scratch.rows; ++i)
      for (index j = 0; j < scratch.cols; ++j)
        scratch(i, j) = scaled(scratch(i, j), size_.scale);
  return scratch;
}

#define EF_INSTANTIATE(T)                                                                          \
  template double squared_norm<T>(vector_view<const T>);                                           \
  template magnitude measure<T>(matrix_view<const T>, int);                                        \
  template magnitude measure<T>(const row_source<T> &, int);                                       \
  template class dense_operator<T>;                                                                \
  template class row_operator<T>;
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
