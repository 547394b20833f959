// SPDX-License-Identifier: BSD-3-Clause
#include "lds_steady.hpp"

#include <mutex>

namespace eigenflow::lds {

struct steady_memory::state {
  std::mutex lock;
  std::shared_ptr<const steady_filter> found;
  index most_steps = 0; // that it was allowed
};

steady_memory::steady_memory() : state_(std::make_unique<state>()) {}
steady_memory::~steady_memory() = default;

std::shared_ptr<const steady_filter>
steady_memory::get(index most_steps, const std::function<steady_filter(index)> &find) {
  const std::lock_guard guard(state_->lock);
  // Another number of plain steps may find what this one did not, or the other way round.
  const bool known =
      state_->found && (state_->found->by_doubling || state_->most_steps == most_steps);
  if (!known) {
    state_->found = std::make_shared<const steady_filter>(find(most_steps));
    state_->most_steps = most_steps;
  }
  return state_->found;
}

} // namespace eigenflow::lds
