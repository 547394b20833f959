// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "lds_full.hpp"

namespace eigenflow::isa {

// What one row does to the mean x of the state under a gain that is known, for y with its offsets
// off and zero where a number is missing (NaN):
//   e = E y - H' x, standardised;  filtered = x + K e;  the next x = F x + L y + c.
// The parts follow each other in one array: F (n columns), L, H and K (p columns each), all in
// columns of `width` numbers with zeros beyond n, then E (p x p, row-major).
struct lds_known_run {
  std::int64_t n, p;
  const double *const *gains; // one array a step
  lds_rows y;
  std::int64_t y_column; // from one number of a row to the next
  lds_rows c, d;         // rows of `width` and of p numbers
  lds_results filtered, predicted;
  double *squares; // e'e of each step, or null
};

struct lds_known_kernels {
  std::int64_t (*width)(std::int64_t n);
  // `mean` holds 2 `width` numbers: zeros beyond n, and room. Returns the sum of all e'e.
  double (*run)(const lds_known_run &rows, std::int64_t steps, double *mean);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds_known)
