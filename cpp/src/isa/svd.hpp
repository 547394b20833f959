// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

inline constexpr int shifts_at_once = 16;

struct svd_kernels {
  // Sum of (scale x)^2 over n entries that lie `stride` apart, in 16 double lanes and a fixed tree.
  double (*sum_squares_float)(const float *x, std::int64_t n, std::int64_t stride, double scale);
  double (*sum_squares_double)(const double *x, std::int64_t n, std::int64_t stride, double scale);
  // to = scale from.
  void (*widen)(const float *from, std::int64_t n, double scale, double *to);
  // How many eigenvalues of the tridiagonal matrix are below each of the shifts. squares[i] > 0 is
  // that of the number between rows i - 1 and i; squares[0] is not read.
  void (*count_below)(const double *diagonal, const double *squares, std::int64_t n,
                      const double *shifts, std::int64_t *counts);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(svd)
