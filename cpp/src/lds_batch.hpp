// SPDX-License-Identifier: BSD-3-Clause
// Series of a batch, on all workers: side by side where there are many, else one after the other
// with the workers inside each. Results do not depend on which.
#pragma once

#include <eigenflow/lds.hpp>
#include <eigenflow/parallel.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace eigenflow::lds {

// Tells a hook what part of n_steps all finished series are: on the thread that made it, and at
// most ten times a second, as a call may cost more than a short series.
class batch_progress {
public:
  batch_progress(const progress_hook &hook, index n_series, index n_steps)
      : hook_(hook), share_(static_cast<double>(n_steps) / static_cast<double>(n_series)),
        own_(std::this_thread::get_id()) {}

  void add(index n_series) {
    const index done = done_.fetch_add(n_series) + n_series;
    if (!hook_ || std::this_thread::get_id() != own_)
      return;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_)
      return;
    next_ = now + std::chrono::milliseconds(100);
    hook_(static_cast<index>(static_cast<double>(done) * share_));
  }

private:
  const progress_hook &hook_;
  double share_;
  std::thread::id own_;
  std::atomic<index> done_ = 0;
  std::chrono::steady_clock::time_point next_{};
};

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
