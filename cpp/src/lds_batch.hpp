// SPDX-License-Identifier: BSD-3-Clause
// Series of a batch, on all workers: side by side where there are many, else one after the other
// with the workers inside each. Results do not depend on which.
#pragma once

#include <eigenflow/lds.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::lds {

// Calls body(i, workers); what it throws names the series.
template <class Body> void with_series(index i, int workers, Body &&body) {
  try {
    body(i, workers);
  } catch (const argument_error &error) {
    throw series_error(error, i);
  }
}

// Calls body(i, workers) for each series from `begin`.
template <class Body>
void for_each_series(index begin, index end, index n_steps, int workers, Body &&body) {
  const index n_series = end - begin;
  const auto one = [&](index k, int inner) { with_series(begin + k, inner, body); };
  constexpr index long_series = 1 << 17; // enough to keep several workers busy inside
  if (n_steps >= long_series && n_series < 4 * static_cast<index>(resolve_workers(workers))) {
    for (index i = 0; i < n_series; ++i)
      one(i, workers);
    return;
  }
  const index grain = std::max<index>(1, 8192 / std::max<index>(1, n_steps));
  parallel_for(
      n_series, grain,
      [&](index first, index last, int) {
        for (index k = first; k < last; ++k)
          one(k, 1);
      },
      workers);
}

} // namespace eigenflow::lds
