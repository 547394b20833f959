// SPDX-License-Identifier: BSD-3-Clause
// Products with few columns against the three loops, for memory of any strides and any workers.
#include "check.hpp"

#include <eigenflow/rng.hpp>
#include <eigenflow/svd.hpp>

#include <cstdint>
#include <limits>

namespace svd = eigenflow::svd;
using eigenflow::col_major;
using eigenflow::matrix_view;

namespace {

template <class T> struct block {
  block(std::int64_t rows, std::int64_t cols, std::uint64_t key)
      : data(static_cast<std::size_t>(rows * cols)), view(col_major(data.data(), rows, cols)) {
    eigenflow::rng::fill_normals<T>(key, 0, 0, view, 1);
  }
  std::vector<T> data;
  matrix_view<T> view;
};

template <class T>
void check_product(matrix_view<const T> a, matrix_view<const T> x, matrix_view<const T> got) {
  const double eps = std::numeric_limits<T>::epsilon();
  bool close = true;
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t c = 0; c < x.cols; ++c) {
      double sum = 0, size = 0;
      for (std::int64_t k = 0; k < a.cols; ++k) {
        const double term = static_cast<double>(a(i, k)) * static_cast<double>(x(k, c));
        sum += term;
        size += std::abs(term);
      }
      close = close && std::abs(static_cast<double>(got(i, c)) - sum) <=
                           eps * static_cast<double>(a.cols + 2) * size;
    }
  CHECK(close);
}

template <class T> void check_all(matrix_view<const T> a, std::int64_t width, int workers) {
  const svd::dense_operator<T> op(a, svd::measure(a, workers), workers);
  const block<T> x(a.cols, width, 5), z(a.rows, width, 6);
  block<T> y(a.rows, width, 7), w(a.cols, width, 8);
  op.apply(x.view, y.view);
  check_product<T>(a, x.view, y.view);
  op.apply_adjoint(z.view, w.view);
  check_product<T>(a.transposed(), z.view, w.view);
  op.apply_both(x.view, y.view, w.view);
  check_product<T>(a, x.view, y.view);
  check_product<T>(a.transposed(), y.view, w.view);
}

template <class T> void check_shapes() {
  for (const auto &[rows, cols] : {std::pair<std::int64_t, std::int64_t>{1, 1},
                                   {7, 5},
                                   {50, 49},
                                   {301, 97},
                                   {1100, 13},
                                   {3, 700}})
    for (const std::int64_t width : {1, 8, 17, 60}) {
      const block<T> a(rows, cols, 1), wide(2 * rows, 3 * cols, 2);
      check_all<T>(a.view, width, 1);
      check_all<T>(block<T>(cols, rows, 3).view.transposed(), width, 2);
      matrix_view<const T> sparse = wide.view;
      sparse.rows = rows, sparse.cols = cols, sparse.row_stride *= 2, sparse.col_stride *= 3;
      check_all<T>(sparse, width, 2);
    }
}

} // namespace

TEST(products_of_doubles) { check_shapes<double>(); }
TEST(products_of_floats) { check_shapes<float>(); }

TEST(any_number_of_workers_gives_the_same_bytes) {
  const block<double> a(3000, 70, 1), x(70, 32, 2);
  std::vector<double> first;
  for (const int workers : {1, 2, 3, 7}) {
    const svd::dense_operator<double> op(a.view, svd::measure<double>(a.view), workers);
    block<double> y(3000, 32, 3), w(70, 32, 4);
    op.apply_both(x.view, y.view, w.view);
    if (first.empty())
      first = w.data;
    CHECK(first == w.data);
  }
}

TEST(a_scaled_matrix_neither_overflows_nor_vanishes) {
  block<double> a(300, 20, 1);
  const block<double> x(20, 3, 2);
  for (const double scale : {0x1p-900, 0x1p900}) {
    block<double> big(300, 20, 1), y(300, 3, 3), w(20, 3, 4), want_y(300, 3, 5), want_w(20, 3, 6);
    for (double &value : big.data)
      value *= scale;
    const svd::magnitude size = svd::measure<double>(big.view);
    svd::dense_operator<double>(big.view, size, 1).apply_both(x.view, y.view, w.view);
    for (double &value : a.data)
      value *= scale * size.scale;
    svd::dense_operator<double>(a.view, svd::measure<double>(a.view), 1)
        .apply_both(x.view, want_y.view, want_w.view);
    CHECK(y.data == want_y.data);
    CHECK(w.data == want_w.data);
    for (double &value : a.data)
      value /= scale * size.scale;
  }
}

TEST(an_empty_matrix_has_a_product_of_zeros) {
  block<double> w(4, 2, 1);
  const block<double> x(0, 2, 2);
  const matrix_view<const double> nothing{nullptr, 0, 4, 4, 1};
  svd::dense_operator<double>(nothing, svd::magnitude{}, 1).apply_adjoint(x.view, w.view);
  for (const double value : w.data)
    CHECK(value == 0);
}
