// SPDX-License-Identifier: BSD-3-Clause
// One step of the filter and of the smoother for a handful of states, number by number. Sizes are
// at most `most`; the noises of the observed numbers are independent.
#pragma once

#include <eigenflow/hd/elementary.hpp>

EF_HD_BEGIN

template <int most> struct lds_law {
  double mean[most], cov[most * most];
};

// What one observed number y = z'x + noise does to a law.
template <int most> struct lds_update {
  double covariance[most]; // P z
  double variance, innovation;
};

template <int most>
EF_HD void lds_observe(int n, const lds_law<most> &law, const double *z, double noise, double value,
                       lds_update<most> &u) {
  u.variance = noise;
  u.innovation = value;
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (int j = 0; j < n; ++j)
      sum = fma(law.cov[i * n + j], z[j], sum);
    u.covariance[i] = sum;
    u.variance = fma(z[i], sum, u.variance);
    u.innovation = fma(-z[i], law.mean[i], u.innovation);
  }
}

// Conditions the law, in Joseph's form; returns -2 times the log density. A variance of zero says
// that the number was known, and adds nothing.
template <int most>
EF_HD double lds_condition(int n, const double *z, double noise, const lds_update<most> &u,
                           lds_law<most> &law) {
  if (!(u.variance > 0))
    return 0;
  double gain[most];
  for (int i = 0; i < n; ++i) {
    gain[i] = u.covariance[i] / u.variance;
    law.mean[i] = fma(gain[i], u.innovation, law.mean[i]);
  }
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      law.cov[i * n + j] = fma(-gain[i], u.covariance[j], law.cov[i * n + j]);
  for (int i = 0; i < n; ++i) {
    double sum = -noise * gain[i];
    for (int j = 0; j < n; ++j)
      sum = fma(law.cov[i * n + j], z[j], sum);
    for (int j = 0; j < n; ++j)
      law.cov[i * n + j] = fma(-sum, gain[j], law.cov[i * n + j]);
  }
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < i; ++j)
      law.cov[i * n + j] = law.cov[j * n + i] = 0.5 * (law.cov[i * n + j] + law.cov[j * n + i]);
  const double log_two_pi = 1.8378770664093453;
  return fma(u.innovation / u.variance, u.innovation, log(u.variance) + log_two_pi);
}

// x' = A x + c + w, w ~ N(0, Q). Only the lower triangle of the new covariance is held beside the
// old one, so that small laws stay in registers.
template <int most>
EF_HD void lds_predict(int n, const double *A, const double *c, const double *Q,
                       lds_law<most> &law) {
  double lower[most * (most + 1) / 2], moved[most], mean[most];
  for (int i = 0; i < n; ++i) {
    mean[i] = c[i];
    for (int j = 0; j < n; ++j) {
      mean[i] = fma(A[i * n + j], law.mean[j], mean[i]);
      double sum = 0;
      for (int k = 0; k < n; ++k)
        sum = fma(A[i * n + k], law.cov[k * n + j], sum);
      moved[j] = sum;
    }
    for (int j = 0; j <= i; ++j) {
      double sum = Q[i * n + j];
      for (int k = 0; k < n; ++k)
        sum = fma(moved[k], A[j * n + k], sum);
      lower[i * (i + 1) / 2 + j] = sum;
    }
  }
  for (int i = 0; i < n; ++i) {
    law.mean[i] = mean[i];
    for (int j = 0; j <= i; ++j)
      law.cov[i * n + j] = law.cov[j * n + i] = lower[i * (i + 1) / 2 + j];
  }
}

// The adjoint of `lds_predict`: r <- A'r.
template <int most> EF_HD void lds_retreat(int n, const double *A, double *r) {
  double back[most];
  for (int j = 0; j < n; ++j) {
    double sum = 0;
    for (int i = 0; i < n; ++i)
      sum = fma(A[i * n + j], r[i], sum);
    back[j] = sum;
  }
  for (int j = 0; j < n; ++j)
    r[j] = back[j];
}

// The adjoint of `lds_condition`: r <- (I - k z')'r + z innovation / variance.
template <int most>
EF_HD void lds_unlearn(int n, const double *z, const lds_update<most> &u, double *r) {
  if (!(u.variance > 0))
    return;
  double along = u.innovation;
  for (int i = 0; i < n; ++i)
    along = fma(-u.covariance[i], r[i], along);
  for (int i = 0; i < n; ++i)
    r[i] = fma(z[i], along / u.variance, r[i]);
}

EF_HD_END
