// SPDX-License-Identifier: BSD-3-Clause
// One coordinate at one time. Callers take the members they want; what nobody reads is not
// computed.
#pragma once

#include <eigenflow/hd/elementary.hpp>
#include <eigenflow/hd/flow_limits.hpp>
#include <eigenflow/hd/flow_panel.hpp>

EF_HD_BEGIN

struct flow_start {
  double z, lambda, b0; // b0 is 1 at depth 0
};

// The largest number of a type stands for larger derivatives, as in double.
template <class T> EF_HD T slope_as(double x);
template <> EF_HD double slope_as<double>(double x) { return x; }
template <> EF_HD float slope_as<float>(double x) {
  return static_cast<float>(clamp(x, -0x1.fffffep127, 0x1.fffffep127));
}

// The form depends on the coordinate and the time alone.
EF_HD double closed_theta(double z, double lambda, double t) {
  return is_plain_time(t) && is_plain(z, lambda)
             ? plain_closed_form_theta(z, lambda, t)
             : closed_form_theta(z, closed_form_parts(z, lambda, t));
}

EF_HD flow_point closed_point(double z, double lambda, double t) {
  const closed_form c = closed_form_parts(z, lambda, t);
  flow_point p;
  p.theta = closed_theta(z, lambda, t);
  p.residual = closed_form_residual(z, c);
  p.eigenvalue = closed_form_eigenvalue(p.theta, lambda);
  const double a = sqrt(p.eigenvalue);
  p.beta = a > 0 ? p.theta / a : 0;
  p.d_z = closed_form_d_z(c);
  p.d_lambda = closed_form_d_lambda(c);
  p.d_b0 = 0;
  p.d_t = closed_form_d_t(z, p.theta, lambda, c);
  return p;
}

struct flow_factors {
  double a, b;
};

// From what they keep at depth >= 1: a^2 - beta^2 and b^2 - c beta^2.
EF_HD flow_factors march_factors(double lambda, double b0, double beta, double c) {
  return {hypot(sqrt(lambda), beta), hypot(b0, sqrt(c) * beta)};
}

EF_HD flow_factors factors_of(const flow_start &start, const flow_point &p, int depth, double c) {
  return depth == 0 ? flow_factors{sqrt(p.eigenvalue), 1}
                    : march_factors(start.lambda, start.b0, p.beta, c);
}

EF_HD double signed_as(double size, double z) { return z < 0 ? -size : size; }

// An eigenvalue or a b0 of zero: nothing ever moves. Next to the saddle theta is proportional to
// the eigenvalue, and to b0 raised to more than 1.
EF_HD bool is_saddle(const flow_start &start) { return start.lambda == 0 || start.b0 == 0; }
EF_HD flow_point saddle_point(const flow_start &start, double t, int depth) {
  flow_point p{};
  p.residual = start.z;
  p.d_lambda = saddle_slope(start.z, start.b0, t, depth);
  return p;
}

// The derivatives where the rate of decay and the error are rate g_inf^2 and error z, from the
// integrals up to there.
template <int n_extra>
EF_HD void set_derivatives(const flow_start &start, const march_shape &m, int depth, double rate,
                           double error, const double *integrals, flow_point &p) {
  const double slope = rate * error;
  p.d_t = finite(start.z * march_tau(m, slope, depth));
  if constexpr (n_extra > 0)
    p.d_z = slope * integrals[in_z];
  if constexpr (n_extra > 1) {
    p.d_lambda = finite(start.z * slope * integrals[in_lambda] / start.lambda);
    p.d_b0 = finite(start.z * slope * integrals[in_b0] / start.b0);
  }
}

// The integrals up to the point u of the panel that starts at `at`. `z_mean` is the mean of the
// integrand for z up to there; those of the sensitivities take a quadrature of their own: 16 nodes
// between the panel's start and the point.
template <int n_extra>
EF_HD void integrals_at(const march_shape &m, int depth, const march_position<n_extra> &at,
                        double u, double z_mean, double *integrals) {
  if constexpr (n_extra > 0)
    integrals[in_z] = fma(u, z_mean, at.extra[in_z]);
  if constexpr (n_extra > 1) {
    const panel_rule rule = narrow_rule(u);
    panel_values<n_extra> values;
    evaluate(m, rule, at.y, depth, values);
    for (int e = in_lambda; e <= in_b0; ++e)
      integrals[e] = at.extra[e] + integral(values.extra[e], rule);
  }
}

// At the point u of the panel that starts at `at`.
template <int n_extra>
EF_HD flow_point march_point_at(const flow_start &start, const march_shape &m, int depth,
                                const march_position<n_extra> &at, double u, double z_mean) {
  const sinh_cosh step = small_sinh_cosh(u);
  const march_point state = march_state(m, advance(at.y, step.sinh, step.cosh).sinh, depth);
  flow_point p{};
  p.theta = start.z * state.fit;
  p.residual = start.z * state.error;
  p.beta = signed_as(scale_by_power(m.beta_inf * state.s, m.exponent), start.z);
  p.eigenvalue = march_tau(m, state.gain, depth);
  double integrals[n_extra > 0 ? n_extra : 1];
  integrals_at(m, depth, at, u, z_mean, integrals);
  set_derivatives<n_extra>(start, m, depth, state.rate, state.error, integrals, p);
  return p;
}

// Past the last panel 1 - s is below round-off and decays exponentially.
template <int n_extra>
EF_HD flow_point march_tail(const flow_start &start, const march_shape &m, int depth,
                            const march_position<n_extra> &at, double t) {
  const double rate = march_last_rate(m, depth);
  const double tau = march_tau(m, t, depth) - at.tau;
  const double error = march_state(m, at.y.sinh, depth).error;
  const double left = rate * tau < 700 ? error * exp_minus(rate * tau).exp : 0;
  flow_point p{};
  p.theta = start.z * (1 - left);
  p.residual = start.z * left;
  p.eigenvalue = march_tau(m, 1.0, depth);
  p.beta = signed_as(scale_by_power(m.beta_inf, m.exponent), start.z);
  double integrals[3] = {1, 0, 0};
  if (n_extra > 1 && left > 0) {
    const march_sensitivity last = march_sensitivity_at(m, 1, depth);
    integrals[in_lambda] = fma(last.lambda, tau, at.extra[in_lambda]);
    integrals[in_b0] = fma(last.b0, tau, at.extra[in_b0]);
  }
  set_derivatives<n_extra>(start, m, depth, rate, left, integrals, p);
  p.d_z = 1;
  return p;
}

// (a b^depth)^2 at the state whose product is theta.
EF_HD double learned_eigenvalue(double theta, double lambda, double b0, int depth, double c) {
  if (depth == 0)
    return closed_form_eigenvalue(theta, lambda);
  const march_shape m = march_setup(theta, lambda, b0, depth, c);
  return march_is_frozen(m, depth) ? frozen_eigenvalue(theta, lambda, b0, depth)
                                   : march_tau(m, 1.0, depth);
}

EF_HD_END
