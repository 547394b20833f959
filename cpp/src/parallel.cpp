// SPDX-License-Identifier: BSD-3-Clause
#include "system.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace eigenflow {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(50);
std::atomic<bool (*)()> interrupt_hook{nullptr};
std::atomic<parallel_runner> program_threads{nullptr};
std::atomic<void *> program_pool{nullptr};
std::atomic<int> chosen_workers{0};

// Of all loops of a thread together: many short loops, such as the products of a decomposition,
// look for Ctrl-C as often as one long loop does.
thread_local std::int64_t poll_due = 0;

std::int64_t clock_now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
std::int64_t next_poll() {
  return (std::chrono::steady_clock::now() + poll_interval).time_since_epoch().count();
}

int first_positive_of_the_environment() {
  for (const char *name : {"EIGENFLOW_NUM_THREADS", "OMP_NUM_THREADS"})
    if (const char *text = std::getenv(name); text != nullptr)
      if (const int value = std::atoi(text); value > 0)
        return value;
  return 0;
}

// Read once: getenv does not survive a thread that changes the environment meanwhile.
int workers_of_the_environment() {
  static const int found = first_positive_of_the_environment();
  return found;
}

// What the workers of one call share. The first failure wins, and stops the others.
class chunk_queue {
public:
  chunk_queue(index n, index grain, detail::chunk_body body, void *context)
      : n_(n), grain_(grain), n_chunks_((n + grain - 1) / grain), body_(body), context_(context) {}

  index n_chunks() const { return n_chunks_; }

  void run(int worker) noexcept {
    try {
      // Only worker 0, the calling thread unless the program runs the loops, polls: a signal
      // handler may need the interpreter it came from.
      interrupt_poll poll;
      for (index c = next_.fetch_add(1); c < n_chunks_; c = next_.fetch_add(1)) {
        body_(context_, c * grain_, std::min(n_, (c + 1) * grain_), worker);
        if (worker == 0)
          poll();
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!failure_)
        failure_ = std::current_exception();
      next_.store(n_chunks_);
    }
  }

  void rethrow() const {
    if (failure_)
      std::rethrow_exception(failure_);
  }

private:
  index n_, grain_, n_chunks_;
  detail::chunk_body body_;
  void *context_;
  std::atomic<index> next_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

} // namespace

void set_default_workers(int workers) { chosen_workers.store(std::max(0, workers)); }

int default_workers() {
  if (const int chosen = chosen_workers.load(); chosen > 0)
    return chosen;
  const int asked = workers_of_the_environment();
  return asked > 0 ? asked : available_cpus();
}

int resolve_workers(int workers) {
  if (workers == 0)
    return default_workers();
  return workers > 0 ? workers : std::max(1, available_cpus() + 1 + workers);
}

void set_parallel_runner(parallel_runner run, void *pool) {
  program_pool.store(pool);
  program_threads.store(run);
}

void set_interrupt_hook(bool (*hook)()) { interrupt_hook.store(hook); }

interrupt_poll::interrupt_poll() : next_(poll_due) {}

void interrupt_poll::operator()() {
  if (clock_now() < next_)
    return;
  poll_due = next_ = next_poll();
  if (const auto hook = interrupt_hook.load(); hook != nullptr && hook())
    throw interrupted();
}

namespace detail {

void parallel_for(index n, index grain, chunk_body body, void *context, int workers) {
  require(grain > 0, "grain: must be positive");
  if (n <= 0)
    return;
  chunk_queue queue(n, grain, body, context);
  const index useful = std::min<index>(resolve_workers(workers), queue.n_chunks());
  const parallel_runner run = program_threads.load();
  if (run != nullptr && useful > 1) {
    run(
        program_pool.load(), static_cast<int>(useful),
        [](void *shared, int worker) { static_cast<chunk_queue *>(shared)->run(worker); }, &queue);
    return queue.rethrow();
  }
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(useful));
  try {
    for (index worker = 1; worker < useful; ++worker)
      threads.emplace_back([&queue, worker] { queue.run(static_cast<int>(worker)); });
  } catch (const std::exception &) {
    // The system has no more threads or memory to give: those that started, and this one, do the
    // work.
  }
  queue.run(0);
  for (auto &thread : threads)
    thread.join();
  queue.rethrow();
}

} // namespace detail
} // namespace eigenflow
