// SPDX-License-Identifier: BSD-3-Clause
#include "blas_fixture.hpp"
#include "check.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/svd.hpp>

#include <algorithm>
#include <complex>
#include <cstdint>
#include <limits>
#include <memory>

namespace blas = eigenflow::blas;
namespace svd = eigenflow::svd;
using eigenflow::col_major;
using eigenflow::matrix_view;

namespace {

constexpr auto plain = blas::transpose::no, flipped = blas::transpose::yes;

// Column-major memory with its view.
template <class T> struct dense {
  dense(std::int64_t rows, std::int64_t cols)
      : data(static_cast<std::size_t>(rows * cols)), view(col_major(data.data(), rows, cols)) {}
  dense(const dense &other)
      : data(other.data), view(col_major(data.data(), other.view.rows, other.view.cols)) {}
  dense &operator=(const dense &) = delete;
  std::vector<T> data;
  matrix_view<T> view;
};

template <class T> dense<T> gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t key) {
  dense<T> out(rows, cols);
  eigenflow::rng::fill_normals<T>(key, 0, 0, out.view, 1);
  return out;
}

template <class T> dense<T> orthonormal(std::int64_t rows, std::int64_t cols, std::uint64_t key) {
  dense<T> out = gaussian<T>(rows, cols, key);
  dense<double> r(cols, cols);
  svd::orthonormalise<T>(out.view, r.view);
  return out;
}

// ratio^j for the first `count` singular values, zero after them.
template <class T>
dense<T> geometric(std::int64_t rows, std::int64_t cols, std::int64_t count, double ratio) {
  dense<T> u = orthonormal<T>(rows, count, 1), v = orthonormal<T>(cols, count, 2), a(rows, cols);
  for (std::int64_t j = 0; j < count; ++j)
    for (std::int64_t i = 0; i < rows; ++i)
      u.view(i, j) *= static_cast<T>(std::pow(ratio, static_cast<double>(j)));
  blas::gemm<T>(plain, flipped, T(1), u.view, v.view, T(0), a.view);
  return a;
}

template <class T> double off_identity(matrix_view<const T> q) {
  double worst = 0;
  for (std::int64_t j = 0; j < q.cols; ++j)
    for (std::int64_t l = 0; l <= j; ++l) {
      double sum = l == j ? -1 : 0;
      for (std::int64_t i = 0; i < q.rows; ++i)
        sum += static_cast<double>(q(i, j)) * static_cast<double>(q(i, l));
      worst = std::max(worst, std::abs(sum));
    }
  return worst;
}

// ||A - U diag(s) V^T||_F, entry by entry.
template <class T> double distance(matrix_view<const T> a, svd::result<T> &x) {
  const auto u = col_major(x.u.data(), a.rows, x.rank), v = col_major(x.vh.data(), a.cols, x.rank);
  double sum = 0;
  for (std::int64_t j = 0; j < a.cols; ++j)
    for (std::int64_t i = 0; i < a.rows; ++i) {
      double left = static_cast<double>(a(i, j));
      for (std::int64_t l = 0; l < x.rank; ++l)
        left -= static_cast<double>(u(i, l)) *
                static_cast<double>(x.s[static_cast<std::size_t>(l)]) *
                static_cast<double>(v(j, l));
      sum += left * left;
    }
  return std::sqrt(sum);
}

template <class T> svd::result<T> measured_svd(matrix_view<const T> a, const svd::options &asked) {
  return svd::decompose<T>(a, svd::measure<T>(a), asked);
}

template <class T> void check_triplets(std::int64_t rows, std::int64_t cols, int power_iterations) {
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  const dense<T> a = geometric<T>(rows, cols, 30, 0.5);
  svd::options asked;
  asked.rank = 6;
  asked.power_iterations = power_iterations;
  svd::result<T> x = measured_svd<T>(a.view, asked);
  CHECK(x.rank == 6);
  const bool small = std::min(rows, cols) < 200;
  CHECK(x.route == (power_iterations >= 0 ? svd::method::subspace
                    : small               ? svd::method::exact
                                          : svd::method::krylov));
  for (std::size_t j = 0; j < x.s.size(); ++j)
    CHECK_CLOSE(static_cast<double>(x.s[j]), std::pow(0.5, static_cast<double>(j)), 40 * eps);
  CHECK(off_identity<T>(col_major(x.u.data(), rows, x.rank)) < 40 * eps);
  CHECK(off_identity<T>(col_major(x.vh.data(), cols, x.rank)) < 40 * eps);
  const double best = std::pow(0.5, 6) / std::sqrt(0.75);
  CHECK_CLOSE(x.error / best, 1.0, 1e-3);
  CHECK_CLOSE(distance<T>(a.view, x) / best, 1.0, 1e-3);
}

// A matrix that is known by its products only.
class harmonic final : public svd::linear_operator<double> {
public:
  std::int64_t rows() const override { return 500; }
  std::int64_t cols() const override { return 400; }
  void apply(matrix_view<const double> x, matrix_view<double> y) const override { scale(x, y); }
  void apply_adjoint(matrix_view<const double> x, matrix_view<double> y) const override {
    scale(x, y);
  }
  double frobenius_norm() const override {
    double sum = 0;
    for (std::int64_t i = 0; i < 400; ++i)
      sum += entry(i) * entry(i);
    return std::sqrt(sum);
  }

private:
  static double entry(std::int64_t i) { return 1 / static_cast<double>(i + 1); }
  static void scale(matrix_view<const double> x, matrix_view<double> y) {
    for (std::int64_t j = 0; j < x.cols; ++j)
      for (std::int64_t i = 0; i < y.rows; ++i)
        y(i, j) = i < 400 ? entry(i) * x(i, j) : 0;
  }
};

// The same columns, each turned by a phase.
template <class T> void check_orthonormalise_complex(matrix_view<const T> real, double eps) {
  using C = std::complex<T>;
  dense<C> q(real.rows, real.cols);
  for (std::int64_t j = 0; j < real.cols; ++j)
    for (std::int64_t i = 0; i < real.rows; ++i)
      q.view(i, j) = real(i, j) * std::polar(T(1), static_cast<T>(j));
  const dense<C> before = q;
  dense<std::complex<double>> r(real.cols, real.cols), gram(real.cols, real.cols);
  svd::orthonormalise<C>(q.view, r.view);
  for (std::int64_t j = 0; j < real.cols; ++j)
    for (std::int64_t l = 0; l < real.cols; ++l) {
      std::complex<double> sum = l == j ? -1 : 0;
      for (std::int64_t i = 0; i < real.rows; ++i)
        sum += static_cast<std::complex<double>>(std::conj(q.view(i, l)) * q.view(i, j));
      CHECK(std::abs(sum) < 60 * eps);
    }
  for (std::int64_t j = 0; j < real.cols; ++j)
    for (std::int64_t i = 0; i < real.rows; ++i) {
      std::complex<double> sum = -static_cast<std::complex<double>>(before.view(i, j));
      for (std::int64_t l = 0; l <= j; ++l)
        sum += static_cast<std::complex<double>>(q.view(i, l)) * r.view(l, j);
      CHECK(std::abs(sum) < 60 * eps);
    }
}

template <class T> void check_orthonormalise(double condition) {
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  constexpr std::int64_t columns = 20;
  dense<T> q = geometric<T>(150, columns, columns, std::pow(condition, -1.0 / (columns - 1)));
  const dense<T> before = q;
  dense<double> r(columns, columns);
  check_orthonormalise_complex<T>(q.view, eps);
  svd::orthonormalise<T>(q.view, r.view);
  const matrix_view<const T> basis = q.view;
  CHECK(off_identity<T>(basis) < 40 * eps);
  double worst = 0;
  for (std::int64_t j = 0; j < columns; ++j)
    for (std::int64_t i = 0; i < 150; ++i) {
      double sum = -static_cast<double>(before.view(i, j));
      for (std::int64_t l = 0; l <= j; ++l)
        sum += static_cast<double>(basis(i, l)) * r.view(l, j);
      worst = std::max(worst, std::abs(sum));
    }
  CHECK(worst < 40 * eps);
}

} // namespace

TEST(products_and_solves_undo_each_other) {
  dense<double> a(2, 2), b(2, 2), c(2, 2);
  a.view(0, 0) = 2, a.view(0, 1) = 1, a.view(1, 1) = 4;
  b.view(0, 0) = 1, b.view(1, 0) = 3, b.view(0, 1) = 2, b.view(1, 1) = 5;
  blas::gemm<double>(plain, plain, 1.0, a.view, b.view, 0.0, c.view);
  CHECK(c.data == (std::vector<double>{5, 12, 9, 20}));
  blas::trsm<double>(blas::side::left, blas::triangle::upper, plain, 1.0, a.view, c.view);
  CHECK(c.data == b.data);
}

TEST(a_cholesky_factor_squares_to_the_gram_matrix) {
  const dense<double> y = gaussian<double>(30, 5, 3);
  dense<double> g(5, 5);
  blas::syrk<double>(blas::triangle::upper, flipped, 1.0, y.view, 0.0, g.view);
  dense<double> r = g;
  CHECK(blas::potrf<double>(blas::triangle::upper, r.view) == 0);
  for (std::int64_t j = 0; j < 5; ++j)
    for (std::int64_t i = 0; i <= j; ++i) {
      double sum = 0;
      for (std::int64_t l = 0; l <= i; ++l)
        sum += r.view(l, i) * r.view(l, j);
      CHECK_CLOSE(sum, g.view(i, j), 1e-13);
    }
  dense<double> indefinite(2, 2);
  indefinite.view(0, 0) = 1;
  indefinite.view(1, 1) = -1;
  CHECK(blas::potrf<double>(blas::triangle::upper, indefinite.view) == 2);
}

TEST(eigenvalues_ascend_and_other_layouts_are_refused) {
  dense<double> a(3, 3);
  a.view(0, 0) = 3, a.view(1, 1) = 1, a.view(2, 2) = 2;
  std::vector<double> values(3);
  blas::syevd<double>(blas::triangle::upper, a.view, {values.data(), 3, 1});
  CHECK(values == (std::vector<double>{1, 2, 3}));
  dense<double> c(3, 3);
  CHECK_THROWS((blas::gemm<double>(plain, plain, 1.0, a.view.transposed(), a.view, 0.0, c.view), 0),
               eigenflow::argument_error);
}

TEST(triplets_of_every_engine) {
  for (const int q : {-1, 2}) {
    check_triplets<double>(320, 260, q);
    check_triplets<double>(90, 120, q);
    check_triplets<float>(260, 320, q);
    check_triplets<float>(120, 90, q);
  }
}

TEST(a_tolerance_gives_the_least_rank) {
  const dense<double> a = geometric<double>(320, 260, 30, 0.5);
  svd::options asked;
  asked.tolerance = 0.01;
  svd::result<double> x = measured_svd<double>(a.view, asked);
  CHECK(x.rank == 7); // tails: 0.018 at rank 6, 0.009 at rank 7
  CHECK(distance<double>(a.view, x) <= 0.01);
  asked.tolerance = 1e-20;
  CHECK_THROWS(measured_svd<double>(a.view, asked), eigenflow::argument_error);
}

TEST(an_operator_needs_products_only) {
  svd::options asked;
  asked.rank = 5;
  const svd::result<double> x = svd::decompose<double>(harmonic(), asked);
  CHECK(x.route == svd::method::krylov);
  for (std::size_t j = 0; j < 5; ++j)
    CHECK_CLOSE(x.s[j], 1 / static_cast<double>(j + 1), 1e-6);
  asked.rank = -1;
  const svd::result<double> whole = svd::decompose<double>(harmonic(), asked);
  CHECK(whole.route == svd::method::exact);
  CHECK_CLOSE(whole.s.back(), 1 / 400.0, 1e-13);
}

TEST(extreme_scales_zeros_and_bad_entries) {
  for (const double scale : {1e-160, 1e160}) {
    dense<double> a = geometric<double>(40, 30, 10, 0.5);
    for (double &value : a.data)
      value *= scale;
    svd::options asked;
    asked.rank = 3;
    const svd::result<double> x = measured_svd<double>(a.view, asked);
    CHECK_CLOSE(x.s[2] / scale, 0.25, 1e-13);
    CHECK_CLOSE(x.error / scale, 0.125 / std::sqrt(0.75), 1e-4);
  }
  dense<float> zero(4, 3);
  CHECK(measured_svd<float>(zero.view, {}).error == 0);
  zero.view(1, 2) = std::numeric_limits<float>::infinity();
  CHECK(!svd::measure<float>(zero.view).finite);
  CHECK_THROWS(measured_svd<float>(zero.view, {}), eigenflow::argument_error);
  CHECK_THROWS(measured_svd<double>(dense<double>(3, 3).view, {.rank = 4}),
               eigenflow::argument_error);
}

TEST(bases_are_orthonormal_whatever_the_condition) {
  for (const double condition : {1.0, 1e3, 1e7, 1e12, 1e16}) {
    check_orthonormalise<float>(condition);
    check_orthonormalise<double>(condition);
  }
}

TEST(the_range_finder_spans_the_leading_columns) {
  const dense<double> a = geometric<double>(80, 60, 10, 0.5);
  const svd::magnitude size = svd::measure<double>(a.view);
  const svd::dense_operator<double> op(a.view, size);
  dense<double> q(80, 10), inner(10, 60), left = a;
  svd::range_finder<double>(op, 1, 7, 1, q.view);
  CHECK(off_identity<double>(q.view) < 1e-14);
  blas::gemm<double>(flipped, plain, 1.0, q.view, a.view, 0.0, inner.view);
  blas::gemm<double>(plain, plain, -1.0, q.view, inner.view, 1.0, left.view);
  for (const double value : left.data)
    CHECK(std::abs(value) < 1e-14);
}

TEST(complex_matrices_have_real_positive_pivots) {
  using C = std::complex<double>;
  const dense<double> re = geometric<double>(60, 40, 10, 0.5), im = gaussian<double>(60, 40, 9);
  dense<C> a(60, 40);
  for (std::size_t i = 0; i < a.data.size(); ++i)
    a.data[i] = {re.data[i], 1e-3 * im.data[i]};
  const svd::result<C> x = measured_svd<C>(a.view, {});
  double largest = 0, sum = 0;
  for (std::int64_t j = 0; j < 40; ++j)
    for (std::int64_t i = 0; i < 60; ++i) {
      C left = a.view(i, j);
      for (std::int64_t l = 0; l < 40; ++l)
        left -= x.u[static_cast<std::size_t>(l * 60 + i)] * x.s[static_cast<std::size_t>(l)] *
                x.vh[static_cast<std::size_t>(l * 40 + j)];
      sum += std::norm(left);
    }
  CHECK(std::sqrt(sum) < 1e-13);
  C pivot = 0;
  for (std::int64_t j = 0; j < 40; ++j)
    if (const C entry = x.vh[static_cast<std::size_t>(j)]; std::abs(entry) > largest) {
      largest = std::abs(entry);
      pivot = entry;
    }
  CHECK(pivot.real() > 0 && pivot.imag() == 0);
}

// Rows of a matrix in memory, handed out in blocks; counts how often each row is read.
class counting_rows final : public svd::row_source<double> {
public:
  explicit counting_rows(matrix_view<const double> a) : a_(a) {}
  std::int64_t rows() const override { return a_.rows; }
  std::int64_t cols() const override { return a_.cols; }
  void read(std::int64_t begin, matrix_view<double> block) const override {
    count += block.rows;
    for (std::int64_t i = 0; i < block.rows; ++i)
      for (std::int64_t j = 0; j < block.cols; ++j)
        block(i, j) = a_(begin + i, j);
  }
  mutable std::int64_t count = 0;

private:
  matrix_view<const double> a_;
};

TEST(streamed_rows_are_read_once_for_each_pass) {
  const dense<double> a = geometric<double>(900, 400, 30, 0.5);
  const counting_rows source(a.view);
  const svd::magnitude size = svd::measure<double>(source);
  CHECK_CLOSE(size.norm, svd::measure<double>(a.view).norm, 1e-13);
  CHECK(source.count == 900);
  const svd::row_operator<double> op(source, size);
  svd::options asked;
  asked.rank = 6;
  svd::result<double> x = svd::decompose<double>(op, asked);
  CHECK(x.route == svd::method::krylov);
  CHECK(source.count == 900 * (1 + x.passes));
  CHECK_CLOSE(x.error / distance<double>(a.view, x), 1.0, 1e-3);
}

TEST(an_operator_need_not_know_its_norm) {
  class unknown final : public svd::linear_operator<double> {
  public:
    std::int64_t rows() const override { return a_.rows(); }
    std::int64_t cols() const override { return a_.cols(); }
    void apply(matrix_view<const double> x, matrix_view<double> y) const override {
      a_.apply(x, y);
    }
    void apply_adjoint(matrix_view<const double> x, matrix_view<double> y) const override {
      a_.apply_adjoint(x, y);
    }

  private:
    harmonic a_;
  };
  svd::options asked;
  asked.rank = 5;
  const svd::result<double> known = svd::decompose<double>(harmonic(), asked);
  const svd::result<double> x = svd::decompose<double>(unknown(), asked);
  CHECK(x.kind == svd::error_kind::hold_out && x.looks > 0);
  CHECK(x.error > 0.6 * known.error && x.error < 1.6 * known.error);
  asked.power_iterations = 0;
  CHECK(svd::decompose<double>(unknown(), asked).kind == svd::error_kind::leave_one_out);
}

TEST(spectral_bounds_and_one_pass) {
  const dense<double> a = geometric<double>(320, 260, 30, 0.5);
  svd::options asked;
  asked.spectral = true;
  asked.relative_tolerance = 0.01;
  const svd::result<double> x = measured_svd<double>(a.view, asked);
  CHECK(x.rank == 7 && x.kind == svd::error_kind::power_bound);
  CHECK(x.error >= std::pow(0.5, 7) * (1 - 1e-12) && x.error <= 0.01);
  svd::options once;
  once.rank = 6;
  once.one_pass = true;
  svd::result<double> y = measured_svd<double>(a.view, once);
  CHECK(y.route == svd::method::one_pass && y.passes == 1);
  const double true_error = distance<double>(a.view, y);
  CHECK(y.error > 0.5 * true_error && y.error < 3 * true_error);
}

TEST(centred_rows_and_the_rank_one_update_agree) {
  const dense<double> a = geometric<double>(300, 240, 30, 0.5);
  const svd::memory_rows<double> rows(a.view);
  const std::vector<double> mean = svd::column_means<double>(rows, {});
  const svd::weighted_rows<double> centred(rows, {{}, {}, mean});
  const svd::row_operator<double> streamed(centred, svd::measure<double>(centred), false);
  const auto uncentred =
      std::make_shared<svd::dense_operator<double>>(a.view, svd::measure<double>(a.view));
  const svd::weighted_operator<double> update(uncentred, {{}, {}, mean}, streamed.frobenius_norm());
  svd::options asked;
  asked.rank = 5;
  const auto x = svd::decompose<double>(streamed, asked);
  const auto y = svd::decompose<double>(update, asked);
  for (std::size_t j = 0; j < 5; ++j)
    CHECK_CLOSE(x.s[j] / y.s[j], 1.0, 1e-9);
}
