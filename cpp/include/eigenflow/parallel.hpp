// SPDX-License-Identifier: BSD-3-Clause
// Threads are owned by the call that uses them, unless the program lends its own: nothing to
// configure, safe after fork, visible to thread sanitizers. Starting them costs 25-65 us, so give
// each worker at least 200 us of work.
#pragma once

#include <eigenflow/views.hpp>

#include <type_traits>

namespace eigenflow {

// What `set_default_workers` said, else EIGENFLOW_NUM_THREADS, else OMP_NUM_THREADS, else the CPUs
// this process may run on.
int default_workers();

// For the whole process, from now on; 0 gives the choice back to the environment.
void set_default_workers(int workers);

// 0 means the default; negative values count back from the CPUs available (-1: all of them).
int resolve_workers(int workers);

// Threads of the program's own, for all parallel loops from here on; null gives std::thread back.
// `run` calls task(context, worker) once for each worker from 0 to n_workers - 1, on any threads,
// in any order, also one after the other, and returns when all have returned. task never throws.
// Set it while no call of the library runs.
using parallel_task = void (*)(void *context, int worker);
using parallel_runner = void (*)(void *pool, int n_workers, parallel_task task, void *context);
void set_parallel_runner(parallel_runner run, void *pool = nullptr);

// Long loops call the hook on the calling thread about every 50 ms; true makes them throw
// `interrupted`. Python installs one that looks for Ctrl-C. Null removes it.
void set_interrupt_hook(bool (*hook)());

// For serial loops: throws `interrupted` when the hook asks for it. Cheap enough to call every
// few microseconds: it reads a clock, and the hook runs only when 50 ms have passed.
class interrupt_poll {
public:
  interrupt_poll();
  void operator()();

private:
  std::int64_t next_;
};

namespace detail {
using chunk_body = void (*)(void *context, index begin, index end, int worker);
void parallel_for(index n, index grain, chunk_body body, void *context, int workers);
} // namespace detail

// Calls body(begin, end, worker) on chunks [c * grain, min(n, (c + 1) * grain)), in any order and
// on any worker in [0, workers). Chunk bounds depend on n and grain only, so a reduction that is
// kept per chunk and combined in chunk order gives the same bytes for any number of workers. The
// first exception of a body is rethrown here after the other workers have stopped.
template <class Body> void parallel_for(index n, index grain, Body &&body, int workers) {
  using body_type = std::remove_reference_t<Body>;
  detail::parallel_for(
      n, grain,
      [](void *context, index begin, index end, int worker) {
        (*static_cast<body_type *>(context))(begin, end, worker);
      },
      const_cast<void *>(static_cast<const void *>(&body)), workers);
}

} // namespace eigenflow
