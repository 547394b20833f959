// SPDX-License-Identifier: BSD-3-Clause
// The flow on the device, one thread a coordinate. Results are packed, times x n. float is computed
// in double and rounded.
//
// The kernels of cuda/entry/flow_*.cu take coordinates as pairs of a pointer and a stride (1, or 0
// for one value that stands for all) and times in rising order with the row of each; a null result
// is not wanted. Each family has a file of its own, as NVRTC compiles whole files: the march takes
// seconds, the closed form none.
#pragma once

#include <eigenflow/cuda/flow_march.cuh>
#include <eigenflow/cuda/grid.cuh>
#include <eigenflow/hd/flow_hitting.hpp>
#include <eigenflow/hd/flow_point.hpp>

namespace eigenflow::cuda {

template <class T> struct coordinates {
  hd::int64 n;
  entries<T> z, lambda, b0; // b0 is read at depth >= 1 only
};

template <class T>
__device__ inline hd::flow_start start_of(const coordinates<T> &in, hd::int64 i, int depth) {
  return {in.z[i], in.lambda[i], depth > 0 ? in.b0[i] : 1};
}

// theta alone, at depth 0.
template <class T>
__device__ inline void flow_closed(const coordinates<T> &in, const flow_times &times, T *theta) {
  for (hd::int64 i = first_index(); i < in.n; i += grid_stride()) {
    const double z = in.z[i], lambda = in.lambda[i];
    for (hd::int64 k = 0; k < times.n; ++k)
      theta[times.row[k] * in.n + i] = static_cast<T>(hd::closed_theta(z, lambda, times.t[k]));
  }
}

// theta alone, at depth >= 1; b^2 = b0^2 + b_rate beta^2.
template <class T>
__device__ inline void flow_march(const coordinates<T> &in, int depth, double b_rate,
                                  const flow_times &times, T *theta) {
  for (hd::int64 i = first_index(); i < in.n; i += grid_stride())
    march_path<hd::time_only>(start_of(in, i, depth), depth, b_rate, times,
                              [&](hd::int64 row, const hd::flow_point &p) {
                                theta[row * in.n + i] = static_cast<T>(p.theta);
                              });
}

template <class T>
__device__ inline void flow_vanilla(const coordinates<T> &in, const flow_times &times, T *theta) {
  for (hd::int64 i = first_index(); i < in.n; i += grid_stride())
    for (hd::int64 k = 0; k < times.n; ++k)
      theta[times.row[k] * in.n + i] =
          static_cast<T>(hd::vanilla_flow(in.z[i], in.lambda[i], times.t[k]));
}

// Calls visit(row, point) at all times of one coordinate, at any depth.
template <int n_integrals, class Visit>
__device__ inline void flow_path(const hd::flow_start &start, int depth, double b_rate,
                                 const flow_times &times, Visit &&visit) {
  if (depth > 0)
    return march_path<n_integrals>(start, depth, b_rate, times, visit);
  for (hd::int64 k = 0; k < times.n; ++k)
    visit(times.row[k], hd::closed_point(start.z, start.lambda, times.t[k]));
}

template <class T> __device__ inline void put(T *field, hd::int64 i, double value) {
  if (field != nullptr)
    field[i] = static_cast<T>(value);
}

// Null is not wanted.
template <class T> struct state_fields {
  T *theta, *residual, *a, *b, *beta, *learned_eigenvalues;
};

template <class T>
__device__ inline void flow_state(const coordinates<T> &in, int depth, double b_rate,
                                  const flow_times &times, const state_fields<T> &out) {
  for (hd::int64 i = first_index(); i < in.n; i += grid_stride()) {
    const hd::flow_start start = start_of(in, i, depth);
    flow_path<hd::time_only>(start, depth, b_rate, times,
                             [&](hd::int64 row, const hd::flow_point &p) {
                               const hd::int64 at = row * in.n + i;
                               const auto [a, b] = hd::factors_of(start, p, depth, b_rate);
                               put(out.theta, at, p.theta);
                               put(out.residual, at, p.residual);
                               put(out.a, at, a);
                               put(out.b, at, b);
                               put(out.beta, at, p.beta);
                               put(out.learned_eigenvalues, at, p.eigenvalue);
                             });
  }
}

template <class T> struct derivative_fields {
  T *theta, *d_z, *d_eigenvalues, *d_b0, *d_times;
};

template <class T>
__device__ inline void flow_derivatives(const coordinates<T> &in, int depth, double b_rate,
                                        const flow_times &times, const derivative_fields<T> &out) {
  for (hd::int64 i = first_index(); i < in.n; i += grid_stride())
    flow_path<hd::with_all>(start_of(in, i, depth), depth, b_rate, times,
                            [&](hd::int64 row, const hd::flow_point &p) {
                              const hd::int64 at = row * in.n + i;
                              put(out.theta, at, p.theta);
                              put(out.d_z, at, p.d_z);
                              put(out.d_eigenvalues, at, hd::slope_as<T>(p.d_lambda));
                              put(out.d_b0, at, hd::slope_as<T>(p.d_b0));
                              put(out.d_times, at, hd::slope_as<T>(p.d_t));
                            });
}

// (a b^depth)^2 at the state whose product is in.z.
template <class T>
__device__ inline void flow_eigenvalue(const coordinates<T> &in, int depth, double b_rate, T *out) {
  for (hd::int64 i = first_index(); i < in.n; i += grid_stride()) {
    const hd::flow_start s = start_of(in, i, depth);
    out[i] = static_cast<T>(hd::learned_eigenvalue(s.z, s.lambda, s.b0, depth, b_rate));
  }
}

// One thread a coordinate and fraction.
template <class T>
__device__ inline void flow_hitting(const coordinates<T> &in, int depth, double b_rate,
                                    hd::int64 n_fractions, const double *fractions, double *times) {
  for (hd::int64 at = first_index(); at < n_fractions * in.n; at += grid_stride()) {
    const hd::flow_start s = start_of(in, at % in.n, depth);
    times[at] = hd::hitting_time(fractions[at / in.n], s.z, s.lambda, s.b0, depth, b_rate);
  }
}

} // namespace eigenflow::cuda
