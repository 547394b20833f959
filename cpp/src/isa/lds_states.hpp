// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "lds.hpp"

namespace eigenflow::isa {

// Rows of results of each lane, without gaps between them. `around` writes past the cache, and
// wants rows at multiples of their size.
struct lds_lane_rows {
  double *at[lds_lanes];
  bool around;
};

// A steady filter of four states and one observed number that goes from one filtered mean f to the
// next, in fewer operations than by way of the predicted mean x:
//   e = w y + e0 + H f, standardised;  f <- G f + K y + h.
// `first` makes the same step from x, and `last` leads back to it. All parts follow each other.
struct lds_state_step {
  double G[16], K[4], h[4], H[4], w, e0;
};
struct lds_state_gain {
  lds_state_step first, later;
  double A[16], c[4]; // x = A f + c
};

struct lds_states_kernels {
  bool (*known)(); // on this processor
  // `steps` rows of y, [step][lane]; x is [4][lane], before them and after. Writes the filtered
  // means, and adds e e to `sums`, one a lane.
  void (*run)(const lds_state_gain &gain, const double *y, std::int64_t steps, double *x,
              const lds_lane_rows &rows, double *sums);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds_states)
