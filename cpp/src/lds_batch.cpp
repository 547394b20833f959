// SPDX-License-Identifier: BSD-3-Clause
#include "lds_batch.hpp"

#include "lds_series_lanes.hpp"

#include <algorithm>

namespace eigenflow::lds {

void filter(const batch &series, const filter_options &options) {
  if (series.n_series <= 0)
    return;
  const problem first = series.at(0);
  const index n_steps = first.series.y.rows;
  const model_cursor cursor(first.system, first.series.inputs);
  const auto kept =
      steady_for(cursor, n_steps, options.switch_to_steady && series.shared_system, series.memory);
  const steady_filter &shared = *kept;
  batch_progress told(options.progress, series.n_series, n_steps);
  filter_options each = options; // its hook is copied here, and not on other threads
  if (series.n_series > 1)
    each.progress = {}; // that of all series is told
  const auto alone = [&](index i, int workers) {
    const problem one = series.at(i);
    filter_options own = each;
    own.workers = workers;
    model_cursor system(one.system, one.series.inputs);
    const steady_filter steady =
        series.shared_system ? steady_filter{}
                             : steady_for(system, one.series.y.rows, options.switch_to_steady);
    series.done(i, filter(system, series.shared_system ? shared : steady, one.start, one.series.y,
                          one.out, own, nullptr));
  };
  const std::optional<series_lanes> side =
      series_lanes::plan(cursor, shared, first.start, series, n_steps, options);
  constexpr index width = series_lanes::width;
  const index n_groups = side ? series.n_series / width : 0;
  parallel_for(
      n_groups, std::max<index>(1, 8192 / (1 + n_steps)),
      [&](index begin, index end, int) {
        for (index g = begin; g < end; ++g) {
          side->run(series, g * width, [&](index i) { with_series(i, 1, alone); });
          told.add(width);
        }
      },
      options.workers);
  for_each_series(n_groups * width, series.n_series, n_steps, options.workers,
                  [&](index i, int workers) {
                    alone(i, workers);
                    if (series.n_series > 1)
                      told.add(1);
                  });
}

} // namespace eigenflow::lds
