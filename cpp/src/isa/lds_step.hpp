// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

// Covariance steps of the Kalman filter for one observed number y = z'x + noise. Row-major n x n;
// P goes in symmetric and comes out symmetric to the bit. Any n; unrolled up to 8.
struct lds_step_kernels {
  // covariance = P z; returns z' P z.
  double (*project)(std::int64_t n, const double *P, const double *z, double *covariance);
  // P <- (I - k z') P (I - k z')' + noise k k': a sum of two semidefinite terms for any gain k.
  // work holds n.
  void (*joseph)(std::int64_t n, double *P, const double *gain, const double *z, double noise,
                 double *work);
  // P <- P - (P z)(P z)' / variance.
  void (*standard)(std::int64_t n, double *P, const double *covariance, double variance);
  // out = A P A' + Q; work holds 2 n^2.
  void (*predict)(std::int64_t n, const double *A, const double *P, const double *Q, double *out,
                  double *work);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds_step)
