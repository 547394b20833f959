// SPDX-License-Identifier: BSD-3-Clause
#include "flow_tiles.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/hd/flow_descend.hpp>
#include <eigenflow/parallel.hpp>

#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>

namespace eigenflow::flow {
namespace {

constexpr index block = 64;               // its state stays in the first cache
constexpr index steps_at_a_time = 10'000; // about a millisecond: interrupts are noticed in between

struct block_state {
  double a[block], b[block], beta[block];

  hd::descent_state at(index i) const { return {a[i], b[i], beta[i]}; }
  index first_bad(index n, int depth) const {
    for (index i = 0; i < n; ++i)
      if (!hd::descent_is_finite(at(i), depth))
        return i;
    return -1;
  }
};

// The first step after which a state is not finite, and the lowest coordinate of that step.
class divergence {
public:
  void note(index step, index coordinate) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (step < step_ || (step == step_ && coordinate < coordinate_)) {
      step_ = step;
      coordinate_ = coordinate;
    }
  }
  // A block that is past this step has nothing to add.
  index step() const { return step_; }
  void throw_if_any(double step_size) const {
    require(step_ == none, "step_size: got " + std::to_string(step_size) +
                               ", with which the descent diverges at step " +
                               std::to_string(step_) + " in coordinate " +
                               std::to_string(coordinate_) + "; want a smaller step");
  }

private:
  static constexpr index none = std::numeric_limits<index>::max();
  std::mutex mutex_;
  std::atomic<index> step_{none};
  index coordinate_ = 0;
};

struct descent {
  const options &opts;
  double step_size;
  index total;
  std::atomic<bool> stop{false};
  divergence diverged;

  void run(const isa::flow_tile &tile, index n_steps, block_state &s) const {
    isa::flow().descend(opts.depth, b_rate(opts), tile.z, tile.n, step_size, n_steps, s.a, s.b,
                        s.beta);
  }
};

block_state start_of(const isa::flow_tile &tile) {
  block_state s;
  for (index i = 0; i < tile.n; ++i) {
    const auto start = hd::descent_start(tile.lambda[i], tile.b0 == nullptr ? 1 : tile.b0[i]);
    s.a[i] = start.a;
    s.b[i] = start.b;
    s.beta[i] = start.beta;
  }
  return s;
}

template <class T>
void write(const descent &d, const isa::flow_tile &tile, const block_state &s, const fields<T> &out,
           index at) {
  const auto put = [](T *field, index i, double value) {
    if (field != nullptr)
      field[i] = static_cast<T>(value);
  };
  for (index i = 0; i < tile.n; ++i) {
    const auto [theta, gain] = hd::descent_products_of(s.at(i), d.opts.depth);
    put(out.theta, at + i, theta);
    put(out.residual, at + i, tile.z[i] - theta);
    put(out.a, at + i, s.a[i]);
    put(out.b, at + i, s.b[i]);
    put(out.beta, at + i, s.beta[i]);
    put(out.learned_eigenvalues, at + i, gain * gain);
  }
}

// Takes a block from step `from` to step `to`; false if that is no longer wanted.
bool advance(descent &d, const isa::flow_tile &tile, index begin, index from, index to,
             bool may_poll, interrupt_poll &poll, block_state &s) {
  while (from < to) {
    if (d.stop.load() || from >= d.diverged.step())
      return false;
    if (may_poll)
      poll();
    const block_state before = s;
    const index n = std::min(steps_at_a_time, to - from);
    d.run(tile, n, s);
    from += n;
    if (s.first_bad(tile.n, d.opts.depth) < 0)
      continue;
    s = before;
    for (from -= n; s.first_bad(tile.n, d.opts.depth) < 0; ++from)
      d.run(tile, 1, s);
    d.diverged.note(from, begin + s.first_bad(tile.n, d.opts.depth));
    return false;
  }
  return true;
}

template <class T>
void descend_block(descent &d, const isa::flow_tile &tile, index begin, index n_steps,
                   const std::vector<std::pair<index, index>> &record, bool may_poll,
                   const fields<T> &out) {
  interrupt_poll poll;
  block_state s = start_of(tile);
  index at = 0;
  for (const auto &[step, row] : record) {
    if (!advance(d, tile, begin, at, step, may_poll, poll, s))
      return;
    at = step;
    write(d, tile, s, out, row * d.total + begin);
  }
  advance(d, tile, begin, at, n_steps, may_poll, poll, s);
}

} // namespace

template <class T>
void descend(const options &opts, const coordinates<T> &in, double step_size, index n_steps,
             vector_view<const index> record, const fields<T> &out) {
  check(opts, in, opts.depth > 0);
  require(step_size > 0 && std::isfinite(step_size), "step_size: want a positive number");
  require(n_steps >= 0, "n_steps: want a non-negative number");
  require(out.d_z == nullptr && out.d_eigenvalues == nullptr && out.d_b0 == nullptr &&
              out.d_times == nullptr,
          "out: the descent has no derivatives, want null");
  std::vector<std::pair<index, index>> steps;
  for (index i = 0; i < record.size; ++i) {
    require(record[i] >= 0 && record[i] <= n_steps, "record: want steps from 0 to n_steps");
    steps.emplace_back(record[i], i);
  }
  std::sort(steps.begin(), steps.end());
  descent d{opts, step_size, in.z.rows * in.z.cols, {}, {}};
  const auto chunk = [&](index begin, index end, int worker) {
    try {
      tile_inputs<T> inputs(in, opts.depth > 0);
      for (index at = begin; at < end; at += block)
        descend_block(d, inputs.load(at, std::min(block, end - at)), at, n_steps, steps,
                      worker == 0, out);
    } catch (...) {
      d.stop = true;
      throw;
    }
  };
  const index blocks_a_chunk = std::max<index>(1, 1000 / std::max<index>(1, n_steps));
  parallel_for(d.total, block * blocks_a_chunk, chunk, opts.workers);
  d.diverged.throw_if_any(step_size);
}

template void descend(const options &, const coordinates<float> &, double, index,
                      vector_view<const index>, const fields<float> &);
template void descend(const options &, const coordinates<double> &, double, index,
                      vector_view<const index>, const fields<double> &);

} // namespace eigenflow::flow
