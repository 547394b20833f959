// SPDX-License-Identifier: BSD-3-Clause
#include "lds_steady.hpp"

#include <mutex>
#include <thread>
#include <utility>

namespace eigenflow::lds {

// The lock is held for a few instructions, and never while `find` runs: that may call the program
// (progress, a look for Ctrl-C), which may come back here. In a child that was forked in just those
// instructions it stays locked for ever: who cannot have it does without.
class steady_memory::state {
public:
  // Another number of plain steps may find what this one did not, or the other way round.
  std::shared_ptr<const steady_filter> known(index most_steps) {
    const auto guard = try_lock();
    const bool fits = guard && found_ && (found_->by_doubling || most_steps_ == most_steps);
    return fits ? found_ : nullptr;
  }
  // What was there before goes without the lock.
  void keep(std::shared_ptr<const steady_filter> found, index most_steps) {
    if (const auto guard = try_lock()) {
      found_.swap(found);
      most_steps_ = most_steps;
    }
  }

private:
  std::unique_lock<std::mutex> try_lock() {
    std::unique_lock guard(lock_, std::try_to_lock);
    for (int tries = 0; !guard && tries < 1000; ++tries) {
      std::this_thread::yield();
      guard.try_lock();
    }
    return guard;
  }

  std::mutex lock_;
  std::shared_ptr<const steady_filter> found_;
  index most_steps_ = 0; // that it was allowed
};

steady_memory::steady_memory() : state_(std::make_unique<state>()) {}
steady_memory::~steady_memory() = default;

std::shared_ptr<const steady_filter>
steady_memory::get(index most_steps, const std::function<steady_filter(index)> &find) {
  if (auto known = state_->known(most_steps))
    return known;
  auto found = std::make_shared<const steady_filter>(find(most_steps));
  state_->keep(found, most_steps);
  return found;
}

} // namespace eigenflow::lds
