// SPDX-License-Identifier: BSD-3-Clause
// The filter with what the smoother needs besides.
#pragma once

#include "lds_lanes.hpp"

namespace eigenflow::lds {

struct filter_trace {
  std::vector<belief> diffuse_steps; // before each step that began with a diffuse direction
  std::vector<char> steady;          // 1 where the constant gain was used
};

filter_result filter(const dense_model &system, const steady_filter &steady, const belief &start,
                     matrix_view<const double> y, const filter_outputs &out,
                     const filter_options &options, filter_trace *trace);

} // namespace eigenflow::lds
