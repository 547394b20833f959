// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

// `steps` steps of the constant-gain filter as one matrix: standardised innovations and the next
// state, as sums over a constant, the state and the observations of all steps. Rows are in panels
// of 8, 4, 2 and 1, as many high ones as fit; a panel is column-major: the constant, the
// observations up to the panel's last step, the state. First the innovations' rows, then the
// state's.
struct lds_lift {
  std::int64_t n, p, steps;
  const double *innovations, *state;
};

// Modes of a filter of one observed number, y = what was observed - offset:
// z_i' = lambda_i z_i + y, innovation y + sum of weight_i z_i. First the real ones, then pairs
// z = z1 + i z2 with lambda = a + i b.
struct lds_modes {
  std::int64_t n_real, n_pairs; // n_real + 2 n_pairs <= lds_most_modes
  const double *real;           // n_real
  const double *pairs;          // a, b of each
  const double *weights;        // n_real + 2 n_pairs
  double offset;
};
inline constexpr int lds_most_modes = 8;

// Only the squares of the filter: [component][lane] is `x` or `z`. Null `sums` leave the
// innovations out. `lift` works on tiles as in lds.hpp, `modes` on eight rows of memory.
struct lds_squares_kernels {
  void (*lift)(const lds_lift &g, const double *y, std::int64_t blocks, double *x, double *sums);
  void (*modes)(const lds_modes &m, const double *const *y, std::int64_t steps, double *z,
                double *sums);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds_squares)
