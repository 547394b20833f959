// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

// Where the rows of a run are: row s of something is `step` numbers after row s - 1, or the same
// one for a step of 0.
struct lds_rows {
  const double *at;
  std::int64_t step;
};
struct lds_results {
  double *at; // null is not written
  std::int64_t step;
};

// Steps of the filter with its covariance in Joseph's form, for one observed number: matrices are
// row-major without gaps.
struct lds_full_run {
  lds_rows A, C, Q, R, c, d, y;
  lds_results filtered, predicted, innovations;
};

struct lds_full_kernels {
  // Makes at most `steps` steps and returns how many: it stops before a number that is not finite
  // or without noise, and where a variance is not positive. `mean` and `P` (symmetric) move along;
  // `variances` and `squares` get one number a step. False for an n that it does not know.
  bool (*knows)(std::int64_t n);
  std::int64_t (*run)(std::int64_t n, const lds_full_run &rows, std::int64_t steps, double *mean,
                      double *P, double *variances, double *squares);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds_full)
