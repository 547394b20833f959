// SPDX-License-Identifier: BSD-3-Clause
// Gradient descent on the device, one thread a coordinate. The host launches it for some thousand
// steps at a time, so that it can be interrupted; the state lives in double in between.
#pragma once

#include <eigenflow/cuda/flow.cuh>
#include <eigenflow/hd/flow_descend.hpp>

namespace eigenflow::cuda {

struct descent_steps {
  double size;
  hd::int64 from, to;
  hd::int64 n_record; // steps to record, rising, from `from` to `to`
  const hd::int64 *record, *row;
};

// a, b, beta: the state after `from` steps, if that is not 0, replaced by that after `to`.
// diverged: the first step after which a coordinate is not finite; larger than all steps until
// then.
struct descent_memory {
  double *a, *b, *beta;
  hd::int64 *diverged;
};

template <class T>
__device__ inline void record_state(const hd::descent_state &s, double z, int depth, hd::int64 at,
                                    const state_fields<T> &out) {
  const hd::descent_products p = hd::descent_products_of(s, depth);
  put(out.theta, at, p.theta);
  put(out.residual, at, z - p.theta);
  put(out.a, at, s.a);
  put(out.b, at, s.b);
  put(out.beta, at, s.beta);
  put(out.learned_eigenvalues, at, p.gain * p.gain);
}

template <class T>
__device__ inline void flow_descend(const coordinates<T> &in, int depth, double b_rate,
                                    const descent_steps &steps, const descent_memory &memory,
                                    const state_fields<T> &out) {
  for (hd::int64 i = first_index(); i < in.n; i += grid_stride()) {
    if (memory.diverged[i] <= steps.from)
      continue;
    const hd::flow_start start = start_of(in, i, depth);
    hd::descent_state s{memory.a[i], memory.b[i], memory.beta[i]};
    if (steps.from == 0)
      s = hd::descent_start(start.lambda, start.b0);
    hd::int64 next = 0;
    for (hd::int64 step = steps.from;; ++step) {
      if (!hd::descent_is_finite(s, depth)) {
        memory.diverged[i] = step;
        break;
      }
      for (; next < steps.n_record && steps.record[next] == step; ++next)
        record_state(s, start.z, depth, steps.row[next] * in.n + i, out);
      if (step == steps.to)
        break;
      s = hd::descent_step(s, start.z, depth, b_rate, steps.size);
    }
    memory.a[i] = s.a;
    memory.b[i] = s.b;
    memory.beta[i] = s.beta;
  }
}

} // namespace eigenflow::cuda
