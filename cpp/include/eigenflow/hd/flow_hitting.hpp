// SPDX-License-Identifier: BSD-3-Clause
// The time at which a coordinate reaches the fraction f of its observation: the closed form at
// depth 0, the march's quadrature up to the point at depth >= 1. 0 <= f <= 1.
#pragma once

#include <eigenflow/hd/elementary.hpp>
#include <eigenflow/hd/flow_limits.hpp>

EF_HD_BEGIN

EF_HD double greatest_of(double x, double y) { return x > y ? x : y; }

// tanh(r t / 2) = f r / (h + lambda (1 - f)), h = hypot(lambda, 2 f z); where that is near 1, the
// quadratic for q = exp(-r t), whose terms have one sign, keeps t accurate instead. Quarters of
// lengths cannot overflow, and lengths of which a quarter might not be normal are raised first.
EF_HD double closed_hitting_time(double f, double z, double lambda) {
  if (f == 0)
    return 0;
  if (lambda == 0 || f == 1)
    return infinity();
  const double unit = greatest_of(abs(z), lambda) < 0x1p-600 ? 0x1p600 : 1;
  const double half = z * unit / 2, quarter = lambda * unit / 4;
  const double left = 1 - f, radius = hypot(half, quarter);
  // A common factor of f and lambda where both of the sum's terms are small.
  const double lift = greatest_of(quarter, f * abs(half)) < 0x1p-400 ? 0x1p500 : 1;
  const double part = f * lift, lifted = lambda * unit * lift / 4;
  const double tangent = part * radius / (hypot(lifted, part * half) + left * lifted);
  if (tangent <= 0.5)
    return log1p(2 * tangent / (1 - tangent)) / 4 / radius * unit;
  const double rho = quarter / radius;
  const double b = rho * rho * left + f;
  const double root = hypot(b, rho * left * sqrt((1 - rho) * (1 + rho)));
  const double rho_over_q = (b + root) / (left * (1 + rho));
  const double x = rho > 1e-290 ? log(rho_over_q / rho)
                                : log(radius) + log(4 / unit) - log(lambda) + log(rho_over_q);
  return x / 4 / radius * unit;
}

// Inverse of theta = lambda b0^D sinh(2 phi) / 2; the quotient may be beyond all numbers.
EF_HD double early_phi(double theta, double lambda, double power) {
  const double ratio = 2 * theta / lambda / power;
  return ratio < 1e300 ? 0.5 * asinh(ratio) : 0.5 * (log(4 * theta) - log(lambda) - log(power));
}

// Where the march to the point stands.
struct hitting_position {
  double tau;
  sinh_cosh y;

  EF_HD sinh_cosh ahead(double sinh_w, double cosh_w) const {
    return {y.sinh * cosh_w + y.cosh * sinh_w, y.cosh * cosh_w + y.sinh * sinh_w};
  }
};

EF_HD void cross_panel(const march_shape &m, const panel_rule &rule, int depth,
                       hitting_position &at) {
  double sum = 0;
  EF_KEEP_LOOP
  for (int i = 0; i < panel_nodes; ++i) {
    const sinh_cosh y = at.ahead(rule.sinh_u[i], rule.cosh_u[i]);
    sum += rule.weight[i] * march_at(m, y.sinh, y.cosh, depth).slope;
  }
  at.tau += sum;
  at.y = at.ahead(sinh(rule.width), cosh(rule.width));
}

// How far into the unit panel theta / (z - theta) is `odds`: Newton on its logarithm, which grows
// like ln y at first (then also the unknown is a logarithm) and evenly later, kept in a bracket.
EF_HD double point_in_panel(const march_shape &m, const hitting_position &at, double odds,
                            bool first, int depth) {
  double low = 0, high = 1, w = 0.5;
  if (first) {
    const march_point end = march_state(m, sinh(1.0), depth);
    w = least_of(1.0, odds * end.error / end.fit);
  }
  for (int i = 0; i < 100; ++i) {
    const sinh_cosh y = at.ahead(sinh(w), cosh(w));
    const march_point p = march_state(m, y.sinh, depth);
    const double gap = log(odds * p.error / p.fit);
    const double step = gap * p.fit / (p.rate * march_at(m, y.sinh, y.cosh, depth).slope);
    (gap > 0 ? low : high) = w;
    const double next = first ? w * exp(step / w) : w + step;
    if (abs(step) <= 1e-8 * (first ? w : 1))
      return clamp(next, 0.0, 1.0); // the step squared is below round-off
    w = next > low && next < high ? next : 0.5 * (low + high);
  }
  return w;
}

// The time at which tau has a value.
EF_HD double march_time(const march_shape &m, double tau, int depth) {
  return scale_by_power(tau / m.g_inf_squared, -2 * m.exponent * (depth + 1));
}

EF_HD double march_hitting_time(double f, double z, double lambda, double b0, int depth, double c) {
  if (f == 0)
    return 0;
  if (lambda == 0 || b0 == 0 || f == 1)
    return infinity();
  const march_shape m = march_setup(z, lambda, b0, depth, c);
  if (march_is_frozen(m, depth)) {
    const double w = frozen_power(b0, depth);
    return closed_hitting_time(f, z, finite(w * lambda)) / w;
  }
  if (m.start > 0) {
    const double tau = early_phi(f * abs(z), lambda, power_of(b0, depth)) * m.per_phi;
    if (march_is_early(m, tau))
      return march_time(m, tau, depth);
  }
  const double n_panels = march_panels(m), sinh_1 = sinh(1.0), cosh_1 = cosh(1.0);
  const double odds = f / (1 - f);
  hitting_position at{m.start, {0, 1}};
  bool found = false;
  for (double panel = 0; panel < n_panels && !found; ++panel) {
    const march_point end = march_state(m, at.ahead(sinh_1, cosh_1).sinh, depth);
    found = end.fit >= odds * end.error;
    if (!found) {
      cross_panel(m, whole_panel(), depth, at);
      continue;
    }
    double width = point_in_panel(m, at, odds, panel == 0, depth);
    if (width > 0.5) {
      cross_panel(m, half_panel(), depth, at);
      width -= 0.5;
    }
    cross_panel(m, narrow_rule(width), depth, at);
  }
  if (!found) // the decay is exponential from here on
    at.tau += log(march_state(m, at.y.sinh, depth).error / (1 - f)) / march_last_rate(m, depth);
  return march_time(m, at.tau, depth);
}

// Depth 0 and more.
EF_HD double hitting_time(double f, double z, double lambda, double b0, int depth, double c) {
  return depth == 0 ? closed_hitting_time(f, z, lambda)
                    : march_hitting_time(f, z, lambda, b0, depth, c);
}

EF_HD_END
