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

// The steady smoother, row-major: r <- F r + W v backward in time, smoothed mean x + P r. F is that
// of the filter transposed.
struct lds_adjoint {
  std::int64_t n, p;
  const double *F, *W, *P;
};

// n and p are at most lds_max_dim. y is [step][p][lane], x is [n][lane]. `drive` is [step][n][lane]
// and takes the place of c, or null.
struct lds_kernels {
  void (*advance)(const lds_gain &gain, const double *y, const double *drive, std::int64_t steps,
                  double *x);
  // Also adds the squared standardised innovations to `sums`, one a lane.
  void (*observe)(const lds_gain &gain, const double *y, const double *drive, std::int64_t steps,
                  double *x, const lds_tile &out, double *sums);
  // From the last step to the first: x and v are the tiles that `observe` made, r is [n][lane].
  // `out` gets the smoothed means, or is null.
  void (*retreat)(const lds_adjoint &back, const double *x, const double *v, std::int64_t steps,
                  double *r, double *out);
  // tile[i][lane] = from[lane][i] for i < count, and back. `around` writes past the cache.
  void (*interleave)(const double *const *from, std::int64_t count, double *tile);
  void (*deinterleave)(const double *tile, std::int64_t count, double *const *to, bool around);
  bool (*finite)(const double *x, std::int64_t count); // all of x
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds)
