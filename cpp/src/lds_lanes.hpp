// SPDX-License-Identifier: BSD-3-Clause
// A run of fully observed steps under the constant gain.
#pragma once

#include "lds_steady.hpp"

namespace eigenflow::lds {

// A series under the constant gain: offsets may change, the matrices do not.
struct steady_series {
  const model_cursor &system;
  const steady_filter &steady;
  matrix_view<const double> y;
  int workers;
};

// Filters rows [begin, end) of y from `mean`, which becomes the predicted mean of row `end`, and
// writes the rows of `out`. Returns the sum of squared standardised innovations; `mismatch` grows
// to the largest difference, in units of the steady scale, between where a chunk ended and where
// the next one began.
double run_steady(const steady_series &series, index begin, index end, const filter_outputs &out,
                  buffer &mean, double &mismatch);

} // namespace eigenflow::lds
