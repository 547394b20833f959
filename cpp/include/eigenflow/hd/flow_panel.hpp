// SPDX-License-Identifier: BSD-3-Clause
// The panels of the march: what is integrated over them, beside the time, for the derivatives.
#pragma once

#include <eigenflow/hd/flow_march.hpp>

EF_HD_BEGIN

// Further integrals along a march: none; dtau / (1 - s G), which the derivative in z needs; and
// with it dtau times the sensitivities to lambda and b0.
constexpr int time_only = 0, with_z = 1, with_all = 3;
constexpr int in_z = 0, in_lambda = 1, in_b0 = 2;

template <int n_extra> struct panel_values {
  double time[panel_nodes];
  double extra[n_extra > 0 ? n_extra : 1][panel_nodes];
};

EF_HD sinh_cosh advance(sinh_cosh y, double sinh_h, double cosh_h) {
  return {fma(y.sinh, cosh_h, y.cosh * sinh_h), fma(y.cosh, cosh_h, y.sinh * sinh_h)};
}

// The integrands at the nodes of a panel that starts at y.
template <int n_extra>
EF_HD void evaluate(const march_shape &m, const panel_rule &rule, sinh_cosh y, int depth,
                    panel_values<n_extra> &out) {
  EF_KEEP_LOOP
  for (int i = 0; i < panel_nodes; ++i) {
    const sinh_cosh at = advance(y, rule.sinh_u[i], rule.cosh_u[i]);
    const march_node node = march_at(m, at.sinh, at.cosh, depth);
    out.time[i] = node.slope;
    if constexpr (n_extra > 0)
      out.extra[in_z][i] = node.slope * node.inverse_error;
    if constexpr (n_extra > 1) {
      const double big = m.kappa * at.sinh;
      const march_sensitivity sensitivity = march_sensitivity_at(m, big / (1 + big), depth);
      out.extra[in_lambda][i] = node.slope * sensitivity.lambda;
      out.extra[in_b0][i] = node.slope * sensitivity.b0;
    }
  }
}

EF_HD double integral(const double *values, const panel_rule &rule) {
  double lane[4] = {};
  for (int i = 0; i < panel_nodes; i += 4)
    for (int l = 0; l < 4; ++l)
      lane[l] = fma(rule.weight[i + l], values[i + l], lane[l]);
  return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

// The times of one unit panel are found in narrower panels, whose interpolant is good to round-off:
// the first unit, near whose start the integrand may have singularities, in three.
EF_HD int n_parts(bool first_unit) { return first_unit ? 3 : 2; }
EF_HD const panel_rule &part_rule(bool first_unit, int part) {
  return first_unit && part < 2 ? quarter_panel() : half_panel();
}

// Where a march stands at the start of a panel.
template <int n_extra> struct march_position {
  double tau;                                // int dtau
  double extra[n_extra > 0 ? n_extra : 1]{}; // the other integrals up to here
  sinh_cosh y{0, 1};

  // In the time that a raised eigenvalue skips, z - theta is z, K grows like b0^D and does not
  // depend on the eigenvalue.
  EF_HD march_position(const march_shape &m, int depth) : tau(m.start) {
    if constexpr (n_extra > 0)
      extra[in_z] = m.start;
    if constexpr (n_extra > 1)
      extra[in_b0] = depth * m.start;
  }
};

// Over one of the narrower panels; tau is its end.
template <int n_extra>
EF_HD void cross_part(const panel_rule &rule, const panel_values<n_extra> &values, double tau,
                      march_position<n_extra> &at) {
  for (int e = 0; e < n_extra; ++e)
    at.extra[e] += integral(values.extra[e], rule);
  const sinh_cosh width = small_sinh_cosh(rule.width);
  at.y = advance(at.y, width.sinh, width.cosh);
  at.tau = tau;
}

// Over a unit panel. In the first one the sensitivities are integrated in its narrower panels.
template <int n_extra>
EF_HD void cross_unit(const march_shape &m, int depth, bool first,
                      const panel_values<n_extra> &values, double tau,
                      march_position<n_extra> &at) {
  const sinh_cosh end = advance(at.y, 1.1752011936438014, 1.5430806348152437); // sinh 1, cosh 1
  const int n_whole = first && n_extra > 1 ? 1 : n_extra;
  for (int e = 0; e < n_whole; ++e)
    at.extra[e] += integral(values.extra[e], whole_panel());
  if constexpr (n_extra > 1) {
    EF_KEEP_LOOP
    for (int part = 0; first && part < n_parts(true); ++part) {
      const panel_rule &rule = part_rule(true, part);
      panel_values<n_extra> narrow;
      evaluate(m, rule, at.y, depth, narrow);
      for (int e = in_lambda; e <= in_b0; ++e)
        at.extra[e] += integral(narrow.extra[e], rule);
      const sinh_cosh width = small_sinh_cosh(rule.width);
      at.y = advance(at.y, width.sinh, width.cosh);
    }
  }
  at.y = end;
  at.tau = tau;
}

EF_HD_END
