// SPDX-License-Identifier: BSD-3-Clause
#include "blas_fixture.hpp"
#include "check.hpp"
#include "samples.hpp"

#include <eigenflow/eigh.hpp>
#include <eigenflow/errors.hpp>
#include <eigenflow/interpolative.hpp>
#include <eigenflow/rng.hpp>

#include <complex>
#include <cstdint>

namespace blas = eigenflow::blas;
namespace eigh = eigenflow::eigh;
namespace svd = eigenflow::svd;
using eigenflow::col_major;
using eigenflow::matrix_view;

namespace {

using samples::at;

// Q diag(1, -1/2, 1/4, ...) Q^T, or without the signs.
template <class T> std::vector<T> geometric(std::int64_t n, bool positive) {
  std::vector<T> q(at(n * n)), a(at(n * n)), r(at(n * n));
  const matrix_view<T> basis = col_major(q.data(), n, n), scaled = col_major(r.data(), n, n);
  eigenflow::rng::fill_normals<T>(3, 0, 0, basis, 1);
  std::vector<double> factor(at(n * n));
  svd::orthonormalise<T>(basis, col_major(factor.data(), n, n));
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i)
      scaled(i, j) =
          basis(i, j) * static_cast<T>(std::pow(positive ? 0.5 : -0.5, static_cast<double>(j)));
  blas::gemm<T>(blas::transpose::no, blas::transpose::yes, T(1), scaled, basis, T(0),
                col_major(a.data(), n, n));
  return a;
}

template <class T>
eigh::result<T> decompose(std::vector<T> &a, std::int64_t n, const eigh::options &how) {
  const matrix_view<const T> view = col_major(a.data(), n, n);
  return eigh::decompose<T>(view, svd::measure<T>(view), how);
}

template <class T> void check_pairs(std::int64_t n, bool positive, eigh::method route) {
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  std::vector<T> a = geometric<T>(n, positive);
  eigh::options asked;
  asked.rank = 6;
  asked.positive = positive;
  const eigh::result<T> x = decompose<T>(a, n, asked);
  CHECK(x.rank == 6 && x.route == route);
  for (std::size_t j = 0; j < 6; ++j) {
    const double value = std::pow(positive ? 0.5 : -0.5, static_cast<double>(j));
    CHECK_CLOSE(static_cast<double>(x.values[j]), value, 60 * eps);
    CHECK(static_cast<double>(x.residuals[j]) < 1e-4);
  }
  CHECK_CLOSE(x.error, std::pow(0.5, 6) / std::sqrt(0.75), 1e-4);
}

} // namespace

TEST(signs_and_values_of_all_ways) {
  check_pairs<double>(300, false, eigh::method::krylov);
  check_pairs<float>(300, false, eigh::method::krylov);
  check_pairs<double>(300, true, eigh::method::nystrom);
  check_pairs<float>(300, true, eigh::method::nystrom);
  check_pairs<double>(60, false, eigh::method::exact);
  check_pairs<float>(60, true, eigh::method::exact);
}

TEST(one_pass_and_tolerances) {
  std::vector<double> a = geometric<double>(300, true);
  eigh::options asked;
  asked.relative_tolerance = 0.01;
  CHECK(decompose<double>(a, 300, asked).rank == 7);
  eigh::options once;
  once.rank = 6;
  once.positive = once.one_pass = true;
  const eigh::result<double> x = decompose<double>(a, 300, once);
  CHECK(x.passes == 1 && x.route == eigh::method::nystrom);
  CHECK_CLOSE(x.values[0], 1.0, 1e-3);
}

TEST(what_is_not_hermitian_is_refused) {
  std::vector<double> a = geometric<double>(300, false);
  eigh::options asked;
  asked.rank = 4;
  asked.positive = true;
  CHECK_THROWS(decompose<double>(a, 300, asked), eigenflow::argument_error);
  for (std::int64_t j = 0; j < 300; ++j)
    a[at(j)] += 1e-3;
  asked.positive = false;
  CHECK_THROWS(decompose<double>(a, 300, asked), eigenflow::argument_error);
}

TEST(columns_and_coefficients) {
  std::vector<double> a = geometric<double>(300, false);
  const matrix_view<const double> view = col_major(a.data(), 300, 300);
  const svd::dense_operator<double> op(view, svd::measure<double>(view));
  eigenflow::interpolative::options asked;
  asked.relative_tolerance = 0.01;
  const auto qr = eigenflow::interpolative::pivoted_qr<double>(op, asked);
  CHECK(qr.rank >= 7 && qr.rank <= 12 && qr.error <= 0.01 * qr.norm);
  const std::vector<double> c = eigenflow::interpolative::coefficients<double>(qr, 300, 300);
  double sum = 0;
  for (std::int64_t j = 0; j < 300; ++j)
    for (std::int64_t i = 0; i < 300; ++i) {
      double rest = view(i, j);
      for (std::int64_t l = 0; l < qr.rank; ++l)
        rest -= view(i, qr.pivots[at(l)]) * c[at(l * 300 + j)];
      sum += rest * rest;
    }
  CHECK_CLOSE(std::sqrt(sum) / qr.error, 1.0, 1e-6);
}
