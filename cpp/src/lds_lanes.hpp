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

// Largest difference, in units of the steady scale, between where a chunk ended and where the next
// one began: forward in the predicted means, backward in the smoothed ones.
struct smoothing_mismatch {
  double forward = 0, backward = 0;
};

// Smooths the rows from `mean`, that of row `begin`. r, the weighted sum of what later rows say
// about the state, goes in as that after the last row and comes out as that before row `begin`.
// Writes the rows of `out`, if it has any; returns the sum of squared standardised innovations.
double smooth_steady(const steady_series &series, index begin, index end, buffer mean, buffer &r,
                     const smoother_outputs &out, smoothing_mismatch &mismatch);

// First-order bound on the error of a smoothed mean, in units of the steady scale and for
// standardised innovations of size one, when `forward` is that of the predicted means.
double smoothing_error(const dense_model &system, const steady_filter &steady, double forward);

} // namespace eigenflow::lds
