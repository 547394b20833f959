// SPDX-License-Identifier: BSD-3-Clause
#include "lds_step.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

using std::int64_t;
namespace hd = eigenflow::hd;

// N is the size, or 0 for any. Inner loops run along rows, so that the compiler vectorises them.
template <int N> EF_HD int64_t size(int64_t n) { return N > 0 ? N : n; }

template <int N> double project(int64_t any, const double *P, const double *z, double *out) {
  const int64_t n = size<N>(any);
  for (int64_t j = 0; j < n; ++j)
    out[j] = 0;
  // P is symmetric: its rows are its columns.
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      out[j] = hd::fma(z[i], P[i * n + j], out[j]);
  double sum = 0;
  for (int64_t j = 0; j < n; ++j)
    sum = hd::fma(z[j], out[j], sum);
  return sum;
}

template <int N>
void joseph(int64_t any, double *P, const double *gain, const double *z, double noise,
            double *projected) {
  const int64_t n = size<N>(any);
  for (int64_t i = 0; i < n; ++i) { // P z; P is symmetric
    double sum = 0;
    for (int64_t j = 0; j < n; ++j)
      sum = hd::fma(P[i * n + j], z[j], sum);
    projected[i] = sum;
  }
  for (int64_t i = 0; i < n; ++i) // (I - k z') P
    for (int64_t j = 0; j < n; ++j)
      P[i * n + j] = hd::fma(-gain[i], projected[j], P[i * n + j]);
  for (int64_t i = 0; i < n; ++i) {
    double sum = -noise * gain[i];
    for (int64_t j = 0; j < n; ++j)
      sum = hd::fma(P[i * n + j], z[j], sum);
    for (int64_t j = 0; j < n; ++j)
      P[i * n + j] = hd::fma(-sum, gain[j], P[i * n + j]);
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < i; ++j)
      P[i * n + j] = P[j * n + i] = 0.5 * (P[i * n + j] + P[j * n + i]);
}

template <int N> void standard(int64_t any, double *P, const double *covariance, double variance) {
  const int64_t n = size<N>(any);
  for (int64_t i = 0; i < n; ++i) {
    const double gain = covariance[i] / variance;
    for (int64_t j = 0; j < n; ++j)
      P[i * n + j] = hd::fma(-gain, covariance[j], P[i * n + j]);
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < i; ++j)
      P[i * n + j] = P[j * n + i] = 0.5 * (P[i * n + j] + P[j * n + i]);
}

template <int N>
void predict(int64_t any, const double *A, const double *P, const double *Q, double *out,
             double *work) {
  const int64_t n = size<N>(any);
  double *transposed = work, *moved = work + n * n; // A', and P A'
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      transposed[j * n + i] = A[i * n + j];
  for (int64_t i = 0; i < n; ++i) {
    double *row = moved + i * n;
    for (int64_t j = 0; j < n; ++j)
      row[j] = 0;
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < n; ++j)
        row[j] = hd::fma(P[i * n + k], transposed[k * n + j], row[j]);
  }
  for (int64_t i = 0; i < n; ++i) {
    double *row = out + i * n;
    for (int64_t j = 0; j < n; ++j)
      row[j] = 0;
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < n; ++j)
        row[j] = hd::fma(A[i * n + k], moved[k * n + j], row[j]);
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j)
      out[i * n + j] = out[j * n + i] = 0.5 * (out[i * n + j] + out[j * n + i]) + Q[i * n + j];
}

// Calls the body with the size as a type.
template <int N> struct constant {
  static constexpr int value = N;
};

template <class Body> auto sized(int64_t n, Body body) {
  switch (n) {
  case 1:
    return body(constant<1>{});
  case 2:
    return body(constant<2>{});
  case 3:
    return body(constant<3>{});
  case 4:
    return body(constant<4>{});
  case 5:
    return body(constant<5>{});
  case 6:
    return body(constant<6>{});
  case 7:
    return body(constant<7>{});
  case 8:
    return body(constant<8>{});
  default:
    return body(constant<0>{});
  }
}

double project_any(int64_t n, const double *P, const double *z, double *out) {
  return sized(n, [&](auto N) { return project<N.value>(n, P, z, out); });
}
void joseph_any(int64_t n, double *P, const double *gain, const double *z, double noise,
                double *work) {
  sized(n, [&](auto N) { joseph<N.value>(n, P, gain, z, noise, work); });
}
void standard_any(int64_t n, double *P, const double *covariance, double variance) {
  sized(n, [&](auto N) { standard<N.value>(n, P, covariance, variance); });
}
void predict_any(int64_t n, const double *A, const double *P, const double *Q, double *out,
                 double *work) {
  sized(n, [&](auto N) { predict<N.value>(n, A, P, Q, out, work); });
}

} // namespace

EF_ISA_DEFINE(lds_step, {project_any, joseph_any, standard_any, predict_any})
