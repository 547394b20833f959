// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

// Chunks of time that run side by side. The number is fixed: it is part of the result's bytes.
inline constexpr int lds_lanes = 8;
inline constexpr int lds_max_dim = 32;

// Constant-gain filter, row-major: x' = F x + L y + c, innovation v = y - C x, filtered mean
// x + K v, standardised innovation whiten v. Offsets are off y already.
struct lds_gain {
  std::int64_t n, p;
  const double *F, *L, *c, *C, *K, *whiten;
};

// Lane-minor buffers of one tile, [step][component][lane]; null is not written.
struct lds_tile {
  double *predicted, *filtered, *innovations, *squares;
};

// n and p are at most lds_max_dim. y is [step][p][lane], x is [n][lane]. `drive` is [step][n][lane]
// and takes the place of c, or null.
struct lds_kernels {
  void (*advance)(const lds_gain &gain, const double *y, const double *drive, std::int64_t steps,
                  double *x);
  // Also adds the squared standardised innovations to `sums`, one a lane.
  void (*observe)(const lds_gain &gain, const double *y, const double *drive, std::int64_t steps,
                  double *x, const lds_tile &out, double *sums);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds)
