// SPDX-License-Identifier: BSD-3-Clause
// A run of fully observed steps under the constant gain.
#pragma once

#include "lds_tiles.hpp"

namespace eigenflow::lds {

// Filters rows [begin, end) of y from `mean`, which becomes the predicted mean of row `end`, and
// writes the rows of `out`. Returns the sum of squared standardised innovations; `mismatch` grows
// to the largest difference, in units of the steady scale, between where a chunk ended and where
// the next one began.
double run_steady(const steady_series &series, index begin, index end, const filter_outputs &out,
                  buffer &mean, double &mismatch);

// Only the mean: cheap where the filter forgets fast.
void skip_steady(const steady_series &series, index begin, index end, buffer &mean);

// Smooths the rows from `mean`, that of row `begin`. r, the weighted sum of what later rows say
// about the state, goes in as that after the last row and comes out as that before row `begin`.
// Writes the rows of `out`, if it has any; returns the sum of squared standardised innovations.
double smooth_steady(const steady_series &series, index begin, index end, buffer mean, buffer &r,
                     matrix_view<double> out);

} // namespace eigenflow::lds
