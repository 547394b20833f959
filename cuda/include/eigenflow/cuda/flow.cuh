// SPDX-License-Identifier: BSD-3-Clause
// One thread a coordinate. Inputs are packed; results are times x n, times in rising order with
// `row` saying where each belongs. float is computed in double and rounded.
#pragma once

#include <eigenflow/cuda/grid.cuh>
#include <eigenflow/hd/flow_limits.hpp>

namespace eigenflow::cuda {

template <class T>
__device__ inline void flow_closed(hd::int64 n, const T *z, const T *lambda, hd::int64 n_times,
                                   const double *times, const hd::int64 *row, T *theta) {
  for (hd::int64 i = first_index(); i < n; i += grid_stride())
    for (hd::int64 k = 0; k < n_times; ++k) {
      const double zi = z[i], li = lambda[i];
      const hd::closed_form parts = hd::closed_form_parts(zi, li, times[k]);
      theta[row[k] * n + i] = static_cast<T>(hd::closed_form_theta(zi, parts));
    }
}

template <class T>
__device__ inline void flow_vanilla(hd::int64 n, const T *z, const T *lambda, hd::int64 n_times,
                                    const double *times, const hd::int64 *row, T *theta) {
  for (hd::int64 i = first_index(); i < n; i += grid_stride())
    for (hd::int64 k = 0; k < n_times; ++k)
      theta[row[k] * n + i] = static_cast<T>(hd::vanilla_flow(z[i], lambda[i], times[k]));
}

// The integrand at the nodes of a panel that starts at y; returns its integral.
__device__ inline double flow_panel(const hd::march_shape &m, const hd::panel_rule &rule,
                                    hd::sinh_cosh y, int depth, double *values) {
  double sum = 0;
  for (int i = 0; i < hd::panel_nodes; ++i) {
    const double s = hd::fma(y.sinh, rule.cosh_u[i], y.cosh * rule.sinh_u[i]);
    const double c = hd::fma(y.cosh, rule.cosh_u[i], y.sinh * rule.sinh_u[i]);
    values[i] = hd::march_at(m, s, c, depth).slope;
    sum = hd::fma(rule.weight[i], values[i], sum);
  }
  return sum;
}

__device__ inline hd::sinh_cosh flow_advance(hd::sinh_cosh y, hd::sinh_cosh step) {
  return {hd::fma(y.sinh, step.cosh, y.cosh * step.sinh),
          hd::fma(y.cosh, step.cosh, y.sinh * step.sinh)};
}

// theta / z at the times of one unit panel that ends at tau = end, in two or three narrower panels
// as on the CPU. Returns the first time that is left.
template <class T>
__device__ inline hd::int64 flow_place(const hd::march_shape &m, int depth, double z, double tau,
                                       double end, hd::sinh_cosh y, bool first_unit, hd::int64 next,
                                       hd::int64 n_times, const double *times, const hd::int64 *row,
                                       hd::int64 n, T *theta) {
  double values[hd::panel_nodes], mean[hd::panel_nodes] = {};
  const int n_parts = first_unit ? 3 : 2;
  for (int part = 0; part < n_parts && next < n_times; ++part) {
    const bool quarter = first_unit && part < 2;
    const hd::panel_rule &rule = quarter ? hd::quarter_panel() : hd::half_panel();
    const double after = tau + flow_panel(m, rule, y, depth, values);
    const double limit = part == n_parts - 1 ? end : after;
    if (hd::march_tau(m, times[next], depth) <= limit)
      hd::running_mean(values, mean);
    for (; next < n_times; ++next) {
      const double wanted = hd::march_tau(m, times[next], depth);
      if (!(wanted <= limit))
        break;
      double u;
      hd::invert_mean(mean, rule.width, wanted - tau, u);
      const hd::sinh_cosh point = flow_advance(y, hd::small_sinh_cosh(u));
      theta[row[next] * n] = static_cast<T>(z * hd::march_state(m, point.sinh, depth).fit);
    }
    tau = after;
    y = flow_advance(y, hd::small_sinh_cosh(rule.width));
  }
  return next;
}

// `theta` points at the coordinate's entry of the first row.
template <class T>
__device__ inline void flow_march_one(double z, double lambda, double b0, int depth, double b_rate,
                                      hd::int64 n, hd::int64 n_times, const double *times,
                                      const hd::int64 *row, T *theta) {
  const hd::march_shape m = hd::march_setup(z, lambda, b0, depth, b_rate);
  const bool stuck = lambda == 0 || b0 == 0, frozen = !stuck && hd::march_is_frozen(m, depth);
  const double n_panels = stuck ? 0 : hd::march_panels(m);
  double values[hd::panel_nodes], tau = m.start;
  hd::sinh_cosh y{0, 1};
  hd::int64 next = 0;
  for (; next < n_times && frozen; ++next)
    theta[row[next] * n] =
        static_cast<T>(hd::frozen_point(z, lambda, b0, times[next], depth).theta);
  for (; next < n_times && !stuck; ++next) {
    const double early = hd::march_tau(m, times[next], depth);
    if (!hd::march_is_early(m, early))
      break;
    const double phi = early / m.per_phi;
    theta[row[next] * n] =
        static_cast<T>(hd::early_point(z, lambda, b0, times[next], phi, depth).theta);
  }
  for (double panel = 0; panel < n_panels && next < n_times; ++panel) {
    const double end = tau + flow_panel(m, hd::whole_panel(), y, depth, values);
    if (hd::march_tau(m, times[next], depth) <= end)
      next = flow_place(m, depth, z, tau, end, y, panel == 0, next, n_times, times, row, n, theta);
    tau = end;
    y = flow_advance(y, {1.1752011936438014, 1.5430806348152437}); // sinh 1, cosh 1
  }
  const double error = hd::march_state(m, y.sinh, depth).error;
  for (; next < n_times; ++next) {
    const double x = hd::march_last_rate(m, depth) * (hd::march_tau(m, times[next], depth) - tau);
    const double left = x < 700 ? error * hd::exp_minus(x).exp : 0;
    theta[row[next] * n] = static_cast<T>(stuck ? 0 : z * (1 - left));
  }
}

template <class T>
__device__ inline void flow_march(hd::int64 n, const T *z, const T *lambda, const T *b0, int depth,
                                  double b_rate, hd::int64 n_times, const double *times,
                                  const hd::int64 *row, T *theta) {
  for (hd::int64 i = first_index(); i < n; i += grid_stride())
    flow_march_one(z[i], lambda[i], b0[i], depth, b_rate, n, n_times, times, row, theta + i);
}

} // namespace eigenflow::cuda
