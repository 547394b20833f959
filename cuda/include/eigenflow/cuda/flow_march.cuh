// SPDX-License-Identifier: BSD-3-Clause
// One thread marches with one coordinate and stops at its times, in the panels of the host.
#pragma once

#include <eigenflow/hd/flow_point.hpp>

namespace eigenflow::cuda {

// In rising order; `row` says where the results of each belong.
struct flow_times {
  hd::int64 n;
  const double *t;
  const hd::int64 *row;
};

struct march {
  hd::flow_start start;
  hd::march_shape shape;
  int depth;

  __device__ double tau(double t) const { return hd::march_tau(shape, t, depth); }
};

// Visits the times of one unit panel that starts at `at` and ends at tau = end. Returns the first
// time that is left.
template <int n_extra, class Visit>
__device__ inline hd::int64 march_place(const march &m, hd::march_position<n_extra> at, double end,
                                        bool first_unit, const flow_times &times, hd::int64 next,
                                        Visit &&visit) {
  EF_KEEP_LOOP
  for (int part = 0; part < hd::n_parts(first_unit) && next < times.n; ++part) {
    const hd::panel_rule &rule = hd::part_rule(first_unit, part);
    hd::panel_values<n_extra> values;
    hd::evaluate(m.shape, rule, at.y, m.depth, values);
    const double tau = at.tau + hd::integral(values.time, rule);
    const double limit = part == hd::n_parts(first_unit) - 1 ? end : tau;
    double mean[hd::panel_nodes] = {}, z_mean[hd::panel_nodes] = {};
    if (m.tau(times.t[next]) <= limit) {
      hd::running_mean(values.time, mean);
      if (n_extra > 0)
        hd::running_mean(values.extra[hd::in_z], z_mean);
    }
    for (; next < times.n && m.tau(times.t[next]) <= limit; ++next) {
      const double half = 0.5 * rule.width;
      const double v = hd::invert_mean<double>(mean, (m.tau(times.t[next]) - at.tau) / half);
      const double up_to_v =
          n_extra > 0 ? hd::chebyshev<hd::panel_nodes, double>(z_mean, v - 1).value : 0;
      visit(times.row[next], hd::march_point_at(m.start, m.shape, m.depth, at, v * half, up_to_v));
    }
    hd::cross_part(rule, values, tau, at);
  }
  return next;
}

// Visits the times before the march begins, if its eigenvalue was raised.
template <class Visit>
__device__ inline hd::int64 march_early(const march &m, const flow_times &times, Visit &&visit) {
  hd::int64 next = 0;
  for (; m.shape.start > 0 && next < times.n; ++next) {
    const double tau = m.tau(times.t[next]);
    if (!hd::march_is_early(m.shape, tau))
      break;
    visit(times.row[next], hd::early_point(m.start.z, m.start.lambda, m.start.b0, times.t[next],
                                           tau / m.shape.per_phi, m.depth));
  }
  return next;
}

// Calls visit(row, point) at all times; depth >= 1 and b^2 = b0^2 + b_rate beta^2.
template <int n_extra, class Visit>
__device__ inline void march_path(const hd::flow_start &start, int depth, double b_rate,
                                  const flow_times &times, Visit &&visit) {
  if (hd::is_saddle(start)) {
    for (hd::int64 k = 0; k < times.n; ++k)
      visit(times.row[k], hd::saddle_point(start, times.t[k], depth));
    return;
  }
  const march m{start, hd::march_setup(start.z, start.lambda, start.b0, depth, b_rate), depth};
  if (hd::march_is_frozen(m.shape, depth)) {
    for (hd::int64 k = 0; k < times.n; ++k)
      visit(times.row[k], hd::frozen_point(start.z, start.lambda, start.b0, times.t[k], depth));
    return;
  }
  const double n_panels = hd::march_panels(m.shape);
  hd::march_position<n_extra> at(m.shape, depth);
  hd::int64 next = march_early(m, times, visit);
  for (double panel = 0; panel < n_panels && next < times.n; ++panel) {
    hd::panel_values<n_extra> values;
    hd::evaluate(m.shape, hd::whole_panel(), at.y, depth, values);
    const double tau = at.tau + hd::integral(values.time, hd::whole_panel());
    if (m.tau(times.t[next]) <= tau)
      next = march_place(m, at, tau, panel == 0, times, next, visit);
    hd::cross_unit(m.shape, depth, panel == 0, values, tau, at);
  }
  for (; next < times.n; ++next)
    visit(times.row[next], hd::march_tail(start, m.shape, depth, at, times.t[next]));
}

} // namespace eigenflow::cuda
