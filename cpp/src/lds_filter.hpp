// SPDX-License-Identifier: BSD-3-Clause
// The filter with what the smoother needs besides.
#pragma once

#include "lds_lanes.hpp"

namespace eigenflow::lds {

struct filter_trace {
  std::vector<belief> diffuse_steps; // before each step that began with a diffuse direction
  std::vector<char> steady;          // 1 where the constant gain was used
};

filter_result filter(model_cursor &system, const steady_filter &steady, const belief &start,
                     matrix_view<const double> y, const filter_outputs &out,
                     const filter_options &options, filter_trace *trace);

// The steady state as far as it is of use for a series of `n_steps`.
steady_filter steady_for(const model_cursor &system, index n_steps, bool wanted);

} // namespace eigenflow::lds
