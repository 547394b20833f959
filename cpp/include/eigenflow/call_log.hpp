// SPDX-License-Identifier: BSD-3-Clause
// What the calling thread asks of BLAS, of LAPACK and of eigenflow's own products, with sizes and
// times: how much of a driver's time is products is measured, not guessed. Off by default, and then
// each of these calls looks at one thread-local pointer.
#pragma once

#include <eigenflow/views.hpp>

#include <chrono>
#include <utility>
#include <vector>

namespace eigenflow {

// A product of rows x inner by inner x cols, or a factorisation of rows x cols (inner 0).
struct logged_call {
  const char *name;
  index scalar_bytes; // of one number of the operands
  bool by_rows;       // the first operand: rows are runs of memory
  index rows, inner, cols;
  double seconds;
};

// Keeps what this thread calls while it lives, or until the next one is made.
class call_log {
public:
  call_log() : outer_(active_) { active_ = this; }
  ~call_log() { active_ = outer_; }
  call_log(const call_log &) = delete;
  call_log &operator=(const call_log &) = delete;

  static call_log *active() { return active_; }
  std::vector<logged_call> calls;
  bool busy = false; // a call that another one makes is part of that

private:
  static inline thread_local call_log *active_ = nullptr;
  call_log *outer_;
};

// Adds the call whose scope it lives in.
class logged {
public:
  logged(const char *name, index scalar_bytes, bool by_rows, index rows, index inner, index cols)
      : log_(call_log::active()) {
    if (log_ != nullptr && std::exchange(log_->busy, true))
      log_ = nullptr;
    if (log_ != nullptr) {
      call_ = {name, scalar_bytes, by_rows, rows, inner, cols, 0};
      begin_ = clock::now();
    }
  }
  ~logged() {
    if (log_ == nullptr)
      return;
    call_.seconds = std::chrono::duration<double>(clock::now() - begin_).count();
    log_->calls.push_back(call_);
    log_->busy = false;
  }
  logged(const logged &) = delete;
  logged &operator=(const logged &) = delete;

private:
  using clock = std::chrono::steady_clock;
  call_log *log_;
  logged_call call_{};
  clock::time_point begin_;
};

} // namespace eigenflow
