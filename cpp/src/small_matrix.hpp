// SPDX-License-Identifier: BSD-3-Clause
// Row-major dense algebra for a handful of rows, without BLAS and without allocation.
#pragma once

#include <eigenflow/views.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace eigenflow::small {

using buffer = std::vector<double>;

inline std::size_t count(index n) { return static_cast<std::size_t>(n); }

inline buffer packed(matrix_view<const double> a) {
  buffer out(count(a.rows * a.cols));
  for (index i = 0; i < a.rows; ++i)
    for (index j = 0; j < a.cols; ++j)
      out[count(i * a.cols + j)] = a(i, j);
  return out;
}

inline buffer packed(vector_view<const double> a, index size) {
  buffer out(count(size), 0.0);
  for (index i = 0; i < a.size; ++i)
    out[count(i)] = a[i];
  return out;
}

inline buffer identity(index n) {
  buffer out(count(n * n), 0.0);
  for (index i = 0; i < n; ++i)
    out[count(i * n + i)] = 1.0;
  return out;
}

inline double dot(index n, const double *a, const double *b) {
  double sum = 0;
  for (index i = 0; i < n; ++i)
    sum += a[i] * b[i];
  return sum;
}

// out = a x, a is m x n.
inline void apply(index m, index n, const double *a, const double *x, double *out) {
  for (index i = 0; i < m; ++i)
    out[i] = dot(n, a + i * n, x);
}

// out = a' x, a is m x n.
inline void apply_transposed(index m, index n, const double *a, const double *x, double *out) {
  std::fill(out, out + n, 0.0);
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < n; ++j)
      out[j] += a[i * n + j] * x[i];
}

// out = a b: (m x k) (k x n).
inline void multiply(index m, index k, index n, const double *a, const double *b, double *out) {
  for (index i = 0; i < m; ++i) {
    double *row = out + i * n;
    std::fill(row, row + n, 0.0);
    for (index l = 0; l < k; ++l)
      for (index j = 0; j < n; ++j)
        row[j] += a[i * k + l] * b[l * n + j];
  }
}

// out = a b': (m x k) (n x k)'.
inline void multiply_right_transposed(index m, index k, index n, const double *a, const double *b,
                                      double *out) {
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < n; ++j)
      out[i * n + j] = dot(k, a + i * k, b + j * k);
}

// out = a' b: (k x m)' (k x n).
inline void multiply_left_transposed(index m, index k, index n, const double *a, const double *b,
                                     double *out) {
  std::fill(out, out + m * n, 0.0);
  for (index l = 0; l < k; ++l)
    for (index i = 0; i < m; ++i)
      for (index j = 0; j < n; ++j)
        out[i * n + j] += a[l * m + i] * b[l * n + j];
}

inline void symmetrise(index n, double *a) {
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < i; ++j)
      a[i * n + j] = a[j * n + i] = 0.5 * (a[i * n + j] + a[j * n + i]);
}

// out = a s a' + add, symmetric; work holds m n. a is m x n, s is n x n; add may be null.
inline void congruence(index m, index n, const double *a, const double *s, const double *add,
                       double *out, double *work) {
  multiply(m, n, n, a, s, work);
  multiply_right_transposed(m, n, m, work, a, out);
  if (add != nullptr)
    for (index i = 0; i < m * m; ++i)
      out[i] += add[i];
  symmetrise(m, out);
}

inline double norm(const buffer &a) {
  double largest = 0;
  for (const double x : a)
    largest = std::max(largest, std::abs(x));
  if (!(largest > 0) || !std::isfinite(largest))
    return largest;
  double sum = 0;
  for (const double x : a)
    sum += (x / largest) * (x / largest);
  return largest * std::sqrt(sum);
}

// a = L D L' of a semidefinite a, without square roots and with unit lower L; a pivot at rounding
// level is zero and leaves a column of zeros, which is right for a semidefinite matrix.
inline void unit_factor(index n, const double *a, buffer &lower, buffer &pivots) {
  lower = identity(n);
  pivots.assign(count(n), 0.0);
  for (index i = 0; i < n; ++i) {
    double *row = lower.data() + i * n;
    double left = a[i * n + i];
    for (index j = 0; j < i; ++j) {
      double value = a[i * n + j];
      for (index k = 0; k < j; ++k)
        value -= row[k] * pivots[count(k)] * lower[count(j * n + k)];
      row[j] = pivots[count(j)] > 0 ? value / pivots[count(j)] : 0.0;
      left -= row[j] * row[j] * pivots[count(j)];
    }
    const double noise = 4 * 0x1p-52 * static_cast<double>(n) * a[i * n + i];
    pivots[count(i)] = left > noise ? left : 0.0;
  }
}

// A difference of covariances: what is below the rounding error of `whole` on its diagonal is zero.
inline void clean_covariance(index n, const double *whole, double *a) {
  symmetrise(n, a);
  for (index i = 0; i < n; ++i)
    if (!(a[i * n + i] > 8 * 0x1p-52 * static_cast<double>(n) * whole[i * n + i]))
      for (index j = 0; j < n; ++j)
        a[i * n + j] = a[j * n + i] = 0;
}

// Solves a x = b in place of b (n x m) by elimination with row exchanges; a is overwritten. False
// when a pivot vanishes.
inline bool solve(index n, index m, double *a, double *b) {
  for (index k = 0; k < n; ++k) {
    index pivot = k;
    for (index i = k + 1; i < n; ++i)
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k]))
        pivot = i;
    if (!(std::abs(a[pivot * n + k]) > 0))
      return false;
    if (pivot != k) {
      std::swap_ranges(a + k * n, a + k * n + n, a + pivot * n);
      std::swap_ranges(b + k * m, b + k * m + m, b + pivot * m);
    }
    for (index i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / a[k * n + k];
      for (index j = k + 1; j < n; ++j)
        a[i * n + j] -= factor * a[k * n + j];
      for (index j = 0; j < m; ++j)
        b[i * m + j] -= factor * b[k * m + j];
    }
  }
  for (index i = n - 1; i >= 0; --i)
    for (index j = 0; j < m; ++j) {
      double value = b[i * m + j];
      for (index k = i + 1; k < n; ++k)
        value -= a[i * n + k] * b[k * m + j];
      b[i * m + j] = value / a[i * n + i];
    }
  return true;
}

// Inverse of the lower Cholesky factor of s (n x n), so that out s out' = I; log_det of s. False
// when s is not positive definite to working accuracy.
inline bool inverse_cholesky(index n, const double *s, double *out, double &log_det) {
  buffer lower(s, s + n * n);
  log_det = 0;
  for (index j = 0; j < n; ++j) {
    double *row = lower.data() + j * n;
    for (index i = 0; i < j; ++i)
      row[i] = (row[i] - dot(i, row, lower.data() + i * n)) / lower[count(i * n + i)];
    const double pivot = row[j] - dot(j, row, row);
    if (!(pivot > 1e-15 * s[j * n + j]))
      return false;
    row[j] = std::sqrt(pivot);
    log_det += std::log(pivot);
  }
  std::fill(out, out + n * n, 0.0);
  for (index j = 0; j < n; ++j)
    for (index i = j; i < n; ++i) {
      double value = i == j ? 1.0 : 0.0;
      for (index k = j; k < i; ++k)
        value -= lower[count(i * n + k)] * out[k * n + j];
      out[i * n + j] = value / lower[count(i * n + i)];
    }
  return true;
}

// Limit of |a^k|^(1/k) by repeated squaring with the norm taken out: k = 2^40 leaves a relative
// error far below rounding for any Jordan structure of a small matrix.
inline double spectral_radius(index n, buffer a) {
  buffer square(a.size());
  double log_radius = 0, weight = 1;
  for (int step = 0; step < 48; ++step) {
    const double size = norm(a);
    if (!(size > 0))
      return 0.0;
    log_radius += weight * std::log(size);
    weight /= 2;
    for (double &x : a)
      x /= size;
    multiply(n, n, n, a.data(), a.data(), square.data());
    std::swap(a, square);
  }
  return std::exp(log_radius);
}

} // namespace eigenflow::small
