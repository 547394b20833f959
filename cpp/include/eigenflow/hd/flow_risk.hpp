// SPDX-License-Identifier: BSD-3-Clause
// Sums along the path that are the same bytes for any number of threads: eight virtual lanes, entry
// i in lane i mod 8, and one tree over them.
#pragma once

#include <eigenflow/hd/config.hpp>

EF_HD_BEGIN

constexpr int sum_lanes = 8;

EF_HD double lane_total(const double *lane) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// One coordinate's share of Stein's estimate: residual^2 + variance (2 d theta / d z - 1).
EF_HD double add_sure(double sum, double residual, double d_z, double variance) {
  return fma(variance, 2 * d_z - 1, fma(residual, residual, sum));
}

EF_HD_END
