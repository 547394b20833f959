// SPDX-License-Identifier: BSD-3-Clause
// The filter with what the smoother needs besides.
#pragma once

#include "lds_lanes.hpp"

namespace eigenflow::lds {

// Filters from row `begin` and leaves what the smoother needs; stops before row `stopped_at` once
// the laws take too much memory. Steady runs are skipped over: their log-likelihood is left out.
struct filter_trace {
  struct run {
    index begin, end;
    bool steady;
    buffer mean;       // before row `begin` of a steady run
    std::size_t first; // law before row `begin` of any other, in `steps`
  };
  index begin = 0, stopped_at = 0;
  belief state; // before row `stopped_at`
  std::vector<run> runs;
  std::vector<belief> steps;

  bool full() const {
    constexpr std::size_t most = std::size_t{1} << 22; // numbers: 32 MB
    return !steps.empty() &&
           steps.size() * (steps[0].cov.size() + steps[0].mean.size() + 16) > most;
  }
};

filter_result filter(model_cursor &system, const steady_filter &steady, const belief &start,
                     matrix_view<const double> y, const filter_outputs &out,
                     const filter_options &options, filter_trace *trace);

// The steady state as far as it is of use for a series of `n_steps`.
steady_filter steady_for(const model_cursor &system, index n_steps, bool wanted);

// The same, kept in `memory` unless that is null.
std::shared_ptr<const steady_filter> steady_for(const model_cursor &system, index n_steps,
                                                bool wanted, steady_memory *memory);

} // namespace eigenflow::lds
