// SPDX-License-Identifier: BSD-3-Clause
// Rows go in chunks to the workers; a chunk goes in panels that stay in the second cache between
// A x and A^T (A x). Each chunk sums its own A^T y, and these are added in the order of the chunks:
// the same bytes for any number of workers. Columns travel side by side (row-major) inside.
#include "svd_products.hpp"

#include "isa/products.hpp"
#include "isa/svd.hpp"

#include <eigenflow/call_log.hpp>
#include <eigenflow/parallel.hpp>

#include <algorithm>
#include <memory>
#include <vector>

namespace eigenflow::svd {
namespace {

constexpr index cache_line = 64;
constexpr index panel_bytes = index{1} << 20;
constexpr index least_chunk = 256, most_chunks = 64;
constexpr double least_work = 2e7; // operations: below, starting a thread costs more than it saves
constexpr index gram_width = 64, gram_height = 192;
constexpr double gram_work = 4e9; // between two looks at Ctrl-C

template <class T> void accumulate(matrix_view<const T> a, const T *b, index width, T *c) {
  const isa::strided_matrix<T> m{a.data, a.rows, a.cols, a.row_stride, a.col_stride};
  if constexpr (sizeof(T) == sizeof(float))
    isa::product().accumulate_float(m, b, width, c);
  else
    isa::product().accumulate_double(m, b, width, c);
}

// Columns side by side, padded by zeros to whole cache lines.
template <class T> class bundle {
public:
  bundle(index rows, index cols)
      : cols_(cols), width_(padded(cols)),
        memory_(static_cast<std::size_t>(rows * width_) + cache_line / sizeof(T)) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    data_ = memory_.data() + (cache_line - address % cache_line) % cache_line / sizeof(T);
  }
  T *row(index i) { return data_ + i * width_; }
  index width() const { return width_; }
  void clear(index rows) { std::fill_n(data_, rows * width_, T(0)); }
  void load(matrix_view<const T> from) {
    for (index j = 0; j < cols_; ++j)
      for (index i = 0; i < from.rows; ++i)
        row(i)[j] = from(i, j);
  }
  void store(matrix_view<T> to, T beta = T(0)) {
    for (index j = 0; j < cols_; ++j)
      for (index i = 0; i < to.rows; ++i)
        to(i, j) = beta == T(0) ? row(i)[j] : row(i)[j] + beta * to(i, j);
  }
  void add_to(matrix_view<double> to) {
    for (index j = 0; j < cols_; ++j)
      for (index i = 0; i < to.rows; ++i)
        to(i, j) += static_cast<double>(row(i)[j]);
  }
  void add(const bundle &other, index begin, index end) {
    const T *from = other.data_;
    for (index i = begin * width_; i < end * width_; ++i)
      data_[i] += from[i];
  }

private:
  static index padded(index cols) {
    constexpr index n = cache_line / static_cast<index>(sizeof(T));
    return (cols + n - 1) / n * n;
  }
  index cols_, width_;
  std::vector<T> memory_;
  T *data_;
};

// A power of two of them where there are enough rows, so that few workers share them evenly.
index chunk_height(index rows) {
  index chunks = 1;
  while (chunks < most_chunks && 2 * chunks * least_chunk <= rows)
    chunks *= 2;
  return std::max<index>(1, (rows + chunks - 1) / chunks);
}

// A panel of A in the operator's scale: A's own memory where the scale is 1.
template <class T> class scaled_panel {
public:
  scaled_panel(double scale, index rows, index cols) : scale_(scale) {
    if (scale != 1)
      copy_.resize(static_cast<std::size_t>(rows * cols));
  }
  matrix_view<const T> load(matrix_view<const T> a) {
    if (scale_ == 1)
      return a;
    const matrix_view<T> held = row_major(copy_.data(), a.rows, a.cols);
    for (index i = 0; i < a.rows; ++i)
      for (index j = 0; j < a.cols; ++j)
        held(i, j) = static_cast<T>(scale_ * static_cast<double>(a(i, j)));
    return held;
  }

private:
  double scale_;
  std::vector<T> copy_;
};

template <class T> struct sweep {
  matrix_view<const T> a;
  double scale;
  matrix_view<const T> x; // of A's columns, or of its rows when there is no forward product
  bool forward;
  matrix_view<T> y, w; // y of a forward product; either is empty where it is not wanted
  T beta;              // of what was in the output: w where it is wanted, else y
  int workers;

  void run() const {
    if (x.cols == 0)
      return;
    const index height = chunk_height(a.rows);
    const index n_chunks = (a.rows + height - 1) / height;
    const bool adjoint = w.data != nullptr;
    bundle<T> right(forward ? a.cols : 0, x.cols);
    if (forward)
      right.load(x);
    std::vector<std::unique_ptr<bundle<T>>> sums(
        static_cast<std::size_t>(adjoint ? std::max<index>(1, n_chunks) : 0));
    for (auto &sum : sums)
      sum = std::make_unique<bundle<T>>(a.cols, x.cols);
    const double work = (forward && adjoint ? 4.0 : 2.0) * static_cast<double>(a.rows) *
                        static_cast<double>(a.cols) * static_cast<double>(x.cols);
    parallel_for(
        a.rows, height,
        [&](index begin, index end, int) {
          chunk(begin, end, right,
                adjoint ? sums[static_cast<std::size_t>(begin / height)].get() : nullptr);
        },
        work < least_work ? 1 : workers);
    if (!adjoint)
      return;
    for (std::size_t i = 1; i < sums.size(); ++i)
      sums[0]->add(*sums[i], 0, a.cols);
    sums[0]->store(w, beta);
  }

private:
  void chunk(index begin, index end, bundle<T> &right, bundle<T> *sum) const {
    const index row_bytes = std::max<index>(1, a.cols * static_cast<index>(sizeof(T)));
    const bool by_columns = a.row_stride == 1 && scale == 1;
    const index height =
        by_columns ? 240 : std::clamp<index>(panel_bytes / row_bytes / 48 * 48, 48, 240);
    bundle<T> held(height, x.cols);
    scaled_panel<T> panels(scale, height, a.cols);
    for (index at = begin; at < end; at += height) {
      const index n = std::min(height, end - at);
      const matrix_view<const T> panel = panels.load(a.block(at, 0, n, a.cols));
      if (forward) {
        held.clear(n);
        accumulate(panel, right.row(0), held.width(), held.row(0));
        if (y.data != nullptr)
          held.store(y.block(at, 0, n, y.cols), w.data == nullptr ? beta : T(0));
      } else {
        held.load(x.block(at, 0, n, x.cols));
      }
      if (sum != nullptr)
        accumulate(panel.transposed(), held.row(0), held.width(), sum->row(0));
    }
  }
};

} // namespace

template <class T>
void few_columns(matrix_view<const T> a, double scale, matrix_view<const T> x, T beta,
                 matrix_view<T> y, int workers) {
  const logged call("product", sizeof(T), a.col_stride == 1, a.rows, a.cols, x.cols);
  sweep<T>{a, scale, x, true, y, {}, beta, workers}.run();
}

template <class T>
void few_columns_adjoint(matrix_view<const T> a, double scale, matrix_view<const T> x, T beta,
                         matrix_view<T> w, int workers) {
  const logged call("adjoint product", sizeof(T), a.col_stride == 1, a.cols, a.rows, x.cols);
  sweep<T>{a, scale, x, false, {}, w, beta, workers}.run();
}

template <class T>
void few_columns_both(matrix_view<const T> a, double scale, matrix_view<const T> x,
                      matrix_view<T> y, T beta, matrix_view<T> w, int workers) {
  const logged call("both products", sizeof(T), a.col_stride == 1, a.rows, a.cols, x.cols);
  sweep<T>{a, scale, x, true, y, w, beta, workers}.run();
}

namespace {

// A panel of A in the numbers that a Gram matrix is summed in.
template <class T, class R> class converted_panel {
public:
  converted_panel(double scale, index cols) : scale_(scale) {
    if (copies())
      held_.resize(static_cast<std::size_t>(gram_height * cols));
  }
  matrix_view<const R> load(matrix_view<const T> a) {
    if constexpr (std::is_same_v<T, R>)
      if (!copies())
        return a;
    const bool by_columns = a.row_stride == 1;
    const matrix_view<R> to = by_columns ? col_major(held_.data(), a.rows, a.cols)
                                         : row_major(held_.data(), a.rows, a.cols);
    copy_scaled(by_columns ? a.transposed() : a, by_columns ? to.transposed() : to);
    return to;
  }

private:
  bool copies() const { return scale_ != 1 || !std::is_same_v<T, R>; }
  void copy_scaled(matrix_view<const T> from, matrix_view<R> to) const {
    for (index i = 0; i < from.rows; ++i) {
      if constexpr (std::is_same_v<T, float> && std::is_same_v<R, double>)
        if (from.col_stride == 1) {
          isa::svd().widen(&from(i, 0), from.cols, scale_, &to(i, 0));
          continue;
        }
      for (index j = 0; j < from.cols; ++j)
        to(i, j) = static_cast<R>(scale_ * static_cast<double>(from(i, j)));
    }
  }
  double scale_;
  std::vector<R> held_;
};

// Columns [first, first + n_cols) of the upper triangle of g += A^T A. A panel is summed in R, and
// the panels in double.
template <class T, class R>
void add_gram_columns(matrix_view<const T> a, double scale, index first, index n_cols,
                      matrix_view<double> g) {
  const index n = first + n_cols;
  converted_panel<T, R> panels(scale, n);
  bundle<R> sum(n, n_cols), right(gram_height, n_cols);
  const matrix_view<double> out = g.block(0, first, n, n_cols);
  for (index at = 0; at < a.rows; at += gram_height) {
    const matrix_view<const R> panel =
        panels.load(a.block(at, 0, std::min(gram_height, a.rows - at), n));
    right.load(panel.block(0, first, panel.rows, n_cols));
    if (std::is_same_v<R, float>)
      sum.clear(n);
    accumulate(panel.transposed(), right.row(0), right.width(), sum.row(0));
    if (std::is_same_v<R, float>)
      sum.add_to(out);
  }
  if (!std::is_same_v<R, float>)
    sum.add_to(out);
}

template <class T, class R>
void sum_gram(matrix_view<const T> a, double scale, matrix_view<double> g, int workers) {
  const index n = a.cols, groups = (n + gram_width - 1) / gram_width;
  const double row_work = 2.0 * static_cast<double>(gram_width * std::max<index>(1, n));
  const index slab =
      std::max<index>(1, static_cast<index>(gram_work / row_work) / gram_height) * gram_height;
  const double work = static_cast<double>(a.rows) * static_cast<double>(n * n);
  for (index at = 0; at < a.rows; at += slab) {
    const matrix_view<const T> rows = a.block(at, 0, std::min(slab, a.rows - at), n);
    parallel_for(
        groups, 1,
        [&](index begin, index, int) {
          const index first = (groups - 1 - begin) * gram_width;
          add_gram_columns<T, R>(rows, scale, first, std::min(gram_width, n - first), g);
        },
        work < least_work ? 1 : workers);
  }
}

} // namespace

// A worker takes whole columns of g, the longest first: nothing is summed twice, and no worker
// needs a matrix of its own. Each group of columns reads what it needs of A once.
template <class T>
void own_gram(matrix_view<const T> a, double scale, matrix_view<double> g, int workers,
              bool quick) {
  const logged call(quick ? "quick Gram" : "Gram", sizeof(T), a.col_stride == 1, a.cols, a.rows,
                    a.cols);
  for (index j = 0; j < g.cols; ++j)
    std::fill_n(&g(0, j), g.rows, 0.0);
  if (quick)
    sum_gram<T, T>(a, scale, g, workers);
  else
    sum_gram<T, double>(a, scale, g, workers);
  for (index j = 0; j < g.cols; ++j)
    for (index i = j + 1; i < g.rows; ++i)
      g(i, j) = g(j, i);
}

#define EF_INSTANTIATE(T)                                                                          \
  template void few_columns<T>(matrix_view<const T>, double, matrix_view<const T>, T,              \
                               matrix_view<T>, int);                                               \
  template void own_gram<T>(matrix_view<const T>, double, matrix_view<double>, int, bool);         \
  template void few_columns_adjoint<T>(matrix_view<const T>, double, matrix_view<const T>, T,      \
                                       matrix_view<T>, int);                                       \
  template void few_columns_both<T>(matrix_view<const T>, double, matrix_view<const T>,            \
                                    matrix_view<T>, T, matrix_view<T>, int);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::svd
