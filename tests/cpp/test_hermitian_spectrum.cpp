// SPDX-License-Identifier: BSD-3-Clause
#include "blas_fixture.hpp"
#include "check.hpp"
#include "samples.hpp"

#include <eigenflow/hermitian_spectrum.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/svd.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <vector>

namespace svd = eigenflow::svd;
using eigenflow::col_major;
using eigenflow::conjugate;

namespace {

using samples::at;

template <class W> using square = std::vector<W>; // n x n, column-major

// Q diag(values) Q^H with a random Q.
template <class W> square<W> with_values(const std::vector<double> &values) {
  const std::int64_t n = static_cast<std::int64_t>(values.size());
  square<W> q(at(n * n)), a(at(n * n), W(0)), r(at(n * n));
  for (std::int64_t i = 0; i < n * n; ++i) {
    double parts[2];
    eigenflow::rng::fill_normals<double>(7, 2 * i, 0, col_major(parts, 2, 1), 1);
    if constexpr (eigenflow::is_complex<W>)
      q[at(i)] = W(parts[0], parts[1]);
    else
      q[at(i)] = parts[0];
  }
  svd::orthonormalise<W>(col_major(q.data(), n, n), col_major(r.data(), n, n));
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t l = 0; l < n; ++l)
        a[at(j * n + i)] += q[at(l * n + i)] * values[at(l)] * conjugate(q[at(l * n + j)]);
  return a;
}

// Largest entry of A X - X diag(values) relative to ||A||, and of X^H X - I, in units of eps.
template <class W>
void check_pairs(const square<W> &a, std::int64_t n, std::int64_t k, bool in_single = false) {
  const auto matrix = col_major(a.data(), n, n);
  svd::hermitian_spectrum<W> spectrum(matrix, in_single), again(matrix, in_single);
  const std::vector<double> all = svd::hermitian_spectrum<W>(matrix, in_single).values();
  const std::vector<double> values = spectrum.leading_values(k);
  CHECK(std::is_sorted(all.rbegin(), all.rend()));
  CHECK(std::is_sorted(values.rbegin(), values.rend()));
  CHECK(again.leading_values(k, 2) == values);
  const double norm = std::max(std::abs(all.front()), std::abs(all.back()));
  for (std::int64_t j = 0; j < k; ++j)
    CHECK(std::abs(values[at(j)] - all[at(j)]) <= (in_single ? 1e-9 : 4e-15) * norm);
  const auto vectors = spectrum.leading_vectors(k), same = again.leading_vectors(k, 2);
  CHECK(std::equal(vectors.data, vectors.data + n * k, same.data)); // for any number of workers
  const W *x = vectors.data;
  double residual = 0, dependence = 0;
  for (std::int64_t j = 0; j < k; ++j) {
    for (std::int64_t i = 0; i < n; ++i) {
      W sum = -values[at(j)] * x[j * n + i];
      for (std::int64_t l = 0; l < n; ++l)
        sum += W(i <= l ? a[at(l * n + i)] : conjugate(a[at(i * n + l)])) * x[j * n + l];
      residual = std::max(residual, std::abs(sum));
    }
    for (std::int64_t l = 0; l <= j; ++l) {
      W sum = l == j ? -1 : 0;
      for (std::int64_t i = 0; i < n; ++i)
        sum += conjugate(x[l * n + i]) * x[j * n + i];
      dependence = std::max(dependence, std::abs(sum));
    }
  }
  const double eps =
      in_single ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
  CHECK(residual <= 100 * eps * norm);
  CHECK(dependence <= 100 * eps);
}

std::vector<double> powers(std::int64_t n, double ratio) {
  std::vector<double> values(at(n));
  for (std::int64_t j = 0; j < n; ++j)
    values[at(j)] = std::pow(ratio, static_cast<double>(j));
  return values;
}

template <class W> void check_spectra() {
  constexpr std::int64_t n = 60;
  for (const std::int64_t k : {1, 7, 20, 30, 45, 60}) {
    check_pairs(with_values<W>(powers(n, 0.9)), n, k);
    check_pairs(with_values<W>(powers(n, 0.1)), n, k);                  // most are rounding
    check_pairs(with_values<W>(std::vector<double>(at(n), 3.0)), n, k); // a multiple of I
    for (const double gap : {1e-4, 1e-8, 1e-12, 1e-15, 0.0}) {          // clusters of five
      std::vector<double> values(at(n));
      for (std::int64_t j = 0; j < n; ++j)
        values[at(j)] =
            std::pow(0.8, static_cast<double>(j / 5)) * (1 - gap * static_cast<double>(j % 5));
      check_pairs(with_values<W>(values), n, k);
    }
  }
}

} // namespace

TEST(leading_pairs_of_real_and_complex_matrices) {
  check_spectra<double>();
  check_spectra<std::complex<double>>();
}

TEST(leading_pairs_in_single_precision) {
  constexpr std::int64_t n = 90;
  for (const double ratio : {0.98, 0.9, 0.1})
    for (const std::int64_t k : {1, 40, 90}) {
      check_pairs(with_values<double>(powers(n, ratio)), n, k, true);
      check_pairs(with_values<std::complex<double>>(powers(n, ratio)), n, k, true);
    }
}

TEST(matrices_that_are_tridiagonal_already) {
  constexpr std::int64_t n = 41;
  square<double> wilkinson(at(n * n), 0.0), twice(at(n * n), 0.0), diagonal(at(n * n), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    wilkinson[at(i * n + i)] = std::abs(static_cast<double>(i - n / 2)); // pairs agree to rounding
    twice[at(i * n + i)] = 1.0 + static_cast<double>(i % 20);            // two equal blocks
    diagonal[at(i * n + i)] = static_cast<double>((i * 7) % n);
    if (i + 1 < n) {
      wilkinson[at((i + 1) * n + i)] = 1.0;
      twice[at((i + 1) * n + i)] = i % 20 == 19 ? 0.0 : 0.5;
    }
  }
  for (const std::int64_t k : {1, 2, 5, 20}) {
    check_pairs(wilkinson, n, k);
    check_pairs(twice, n, k);
    check_pairs(diagonal, n, k);
    check_pairs(square<double>(at(n * n), 0.0), n, k);
  }
  check_pairs(square<double>{-2.0}, 1, 1);
}

TEST(scales_of_squares) {
  for (const double scale : {1e-140, 1e-30, 1e30, 1e140}) {
    square<double> a = with_values<double>(powers(40, 0.8));
    for (double &entry : a)
      entry *= scale;
    check_pairs(a, 40, 12);
  }
}
