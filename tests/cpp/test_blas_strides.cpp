// SPDX-License-Identifier: BSD-3-Clause
// What the wrappers let through to Fortran, which knows packed rows, columns that follow one
// another, and nothing else.
#include "blas_fixture.hpp"
#include "check.hpp"
#include "samples.hpp"

#include <eigenflow/errors.hpp>

#include <complex>

namespace blas = eigenflow::blas;
using eigenflow::argument_error;
using eigenflow::matrix_view;
using eigenflow::vector_view;
using samples::dense;

namespace {

constexpr auto plain = blas::transpose::no;
constexpr std::int64_t n = 3;

// n x n views of larger memory that Fortran would read as something else.
template <class T> std::vector<matrix_view<T>> unreadable(T *middle) {
  return {
      {middle, n, n, 1, -n},    // columns in reverse order
      {middle, n, n, 1, 0},     // one column, repeated
      {middle, n, n, 1, n - 1}, // columns that overlap
      {middle, n, n, -1, n},    // rows in reverse order
      {middle, n, n, n, 1},     // row-major
      {middle, n, n, 0, 1},
  };
}

template <class T> void check_refused() {
  dense<T> memory(10, 10), good(n, n), other(n, n);
  T *const middle = memory.data.data() + 40;
  std::vector<eigenflow::real_of<T>> values(n);
  std::vector<T> tau(n);
  const vector_view<eigenflow::real_of<T>> spectrum{values.data(), n};
  const auto product = [&](matrix_view<T> a, matrix_view<T> b, matrix_view<T> c) {
    blas::gemm<T>(plain, plain, T(1), a, b, T(0), c);
  };
  for (const matrix_view<T> &bad : unreadable(middle)) {
    CHECK_THROWS(product(bad, good.view, other.view), argument_error);
    CHECK_THROWS(product(good.view, bad, other.view), argument_error);
    CHECK_THROWS(product(good.view, other.view, bad), argument_error);
    CHECK_THROWS(blas::syrk<T>(blas::triangle::upper, plain, 1, bad, 0, good.view), argument_error);
    CHECK_THROWS(
        blas::trsm<T>(blas::side::left, blas::triangle::upper, plain, T(1), bad, good.view),
        argument_error);
    CHECK_THROWS(blas::potrf<T>(blas::triangle::upper, bad), argument_error);
    CHECK_THROWS(blas::geqrf<T>(bad, {tau.data(), n}), argument_error);
    CHECK_THROWS(blas::syevd<T>(blas::triangle::upper, bad, spectrum), argument_error);
    CHECK_THROWS(blas::gesdd<T>(good.view, bad, spectrum, other.view), argument_error);
  }
  for (const std::int64_t stride : {-1, 0, 2}) {
    CHECK_THROWS(blas::geqrf<T>(good.view, {tau.data(), 2, stride}), argument_error);
    CHECK_THROWS(
        blas::syevd_values<T>(blas::triangle::upper, good.view, {values.data(), n, stride}),
        argument_error);
  }
}

template <class T> dense<T> random(std::int64_t rows, std::int64_t cols, std::uint64_t key) {
  dense<T> out(rows, cols);
  for (std::int64_t i = 0; i < rows * cols; ++i)
    out.data[samples::at(i)] = samples::normal<T>(key, i);
  return out;
}

// The product against three loops; the matrices are parts of larger memory.
template <class T> void check_parts() {
  const dense<T> a = random<T>(7, 6, 1), b = random<T>(8, 9, 2);
  dense<T> c(6, 5);
  const matrix_view<const T> left = a.view.block(1, 2, 4, 3), right = b.view.block(2, 1, 3, 2);
  const matrix_view<T> out = c.view.block(1, 1, 4, 2);
  blas::gemm<T>(plain, plain, T(1), left, right, T(0), out);
  for (std::int64_t i = 0; i < out.rows; ++i)
    for (std::int64_t j = 0; j < out.cols; ++j) {
      T sum(0);
      for (std::int64_t l = 0; l < left.cols; ++l)
        sum += left(i, l) * right(l, j);
      CHECK_CLOSE(std::abs(out(i, j) - sum), 0, 1e-5);
    }
}

} // namespace

TEST(views_that_fortran_would_misread_are_refused) {
  check_refused<float>();
  check_refused<double>();
  check_refused<std::complex<float>>();
  check_refused<std::complex<double>>();
}

TEST(parts_of_larger_matrices) {
  check_parts<float>();
  check_parts<std::complex<double>>();
}

TEST(one_row_or_one_column_has_no_second_stride) {
  dense<double> a = random<double>(1, n, 1), x = random<double>(n, 1, 2), y(1, 1);
  const matrix_view<const double> row{a.view.data, 1, n, -7, 1}, column{x.view.data, n, 1, 1, -7};
  blas::gemm<double>(plain, plain, 1, row, column, 0, y.view);
  double want = 0;
  for (std::int64_t i = 0; i < n; ++i)
    want += a.view(0, i) * x.view(i, 0);
  CHECK_CLOSE(y.view(0, 0), want, 1e-14);
}
