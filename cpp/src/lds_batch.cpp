// SPDX-License-Identifier: BSD-3-Clause
#include "lds_batch.hpp"

#include "lds_filter.hpp"

#include <algorithm>

namespace eigenflow::lds {

void filter(const batch &series, const filter_options &options) {
  if (series.n_series <= 0)
    return;
  const problem first = series.at(0);
  const index n_steps = first.series.y.rows;
  steady_filter shared;
  if (series.shared_system)
    shared = steady_for(model_cursor(first.system, first.series.inputs), n_steps,
                        options.switch_to_steady);
  for_each_series(series.n_series, n_steps, options.workers, [&](index i, int workers) {
    const problem one = series.at(i);
    filter_options own = options;
    own.workers = workers;
    if (series.n_series > 1)
      own.progress = {}; // counted below, in series
    model_cursor cursor(one.system, one.series.inputs);
    const steady_filter steady =
        series.shared_system ? steady_filter{}
                             : steady_for(cursor, one.series.y.rows, options.switch_to_steady);
    series.done(i, filter(cursor, series.shared_system ? shared : steady, one.start, one.series.y,
                          one.out, own, nullptr));
  });
}

} // namespace eigenflow::lds
