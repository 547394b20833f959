// SPDX-License-Identifier: BSD-3-Clause
// The points of panels that belong to given times. Eight (coordinate, time) pairs are collected and
// solved side by side. Lanes never mix, so a result depends on its own coordinate only.
#pragma once

#include "flow.hpp"

#include <eigenflow/hd/flow_limits.hpp>
#include <eigenflow/hd/flow_march.hpp>

namespace eigenflow::isa::EF_LEVEL_NS {
namespace {

using hd::panel_nodes;
using std::int64_t;

constexpr int lanes = 8;
#ifdef __GNUC__
using lane_vector = double __attribute__((vector_size(lanes * sizeof(double)), may_alias));
#endif

// What is integrated along a march beside the time: nothing; dtau / (1 - s G), which the derivative
// in z needs; and with it dtau times the sensitivities to lambda and b0.
enum integrands { in_z = 0, in_lambda = 1, in_b0 = 2 };

template <int n_extra> struct panel_values {
  double time[panel_nodes];
  double extra[n_extra > 0 ? n_extra : 1][panel_nodes];
};

template <int depth, int n_extra>
void evaluate(const hd::march_shape &m, const hd::panel_rule &rule, hd::sinh_cosh start,
              panel_values<n_extra> &out) {
  for (int i = 0; i < panel_nodes; ++i) {
    const double s = hd::fma(start.sinh, rule.cosh_u[i], start.cosh * rule.sinh_u[i]);
    const double c = hd::fma(start.cosh, rule.cosh_u[i], start.sinh * rule.sinh_u[i]);
    const hd::march_node node = hd::march_at(m, s, c, depth);
    out.time[i] = node.slope;
    if constexpr (n_extra > 0)
      out.extra[in_z][i] = node.slope * node.inverse_error;
    if constexpr (n_extra > 1) {
      const double big = m.kappa * s;
      const hd::march_sensitivity sensitivity = hd::march_sensitivity_at(m, big / (1 + big), depth);
      out.extra[in_lambda][i] = node.slope * sensitivity.lambda;
      out.extra[in_b0][i] = node.slope * sensitivity.b0;
    }
  }
}

inline double integral(const double *values, const hd::panel_rule &rule) {
  double lane[4] = {};
  for (int i = 0; i < panel_nodes; i += 4)
    for (int l = 0; l < 4; ++l)
      lane[l] = hd::fma(rule.weight[i + l], values[i + l], lane[l]);
  return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

// Where a march stands at the start of a panel.
template <int n_extra> struct march_position {
  double tau;                                // int dtau
  double extra[n_extra > 0 ? n_extra : 1]{}; // the other integrals up to here
  hd::sinh_cosh y{0, 1};

  // In the time that a raised eigenvalue skips, z - theta is z, K grows like b0^D and does not
  // depend on the eigenvalue.
  march_position(const hd::march_shape &m, int depth) : tau(m.start) {
    if constexpr (n_extra > 0)
      extra[in_z] = m.start;
    if constexpr (n_extra > 1)
      extra[in_b0] = depth * m.start;
  }
};

inline hd::sinh_cosh advance(hd::sinh_cosh y, double sinh_h, double cosh_h) {
  return {hd::fma(y.sinh, cosh_h, y.cosh * sinh_h), hd::fma(y.cosh, cosh_h, y.sinh * sinh_h)};
}

struct panel_start {
  const hd::march_shape &shape;
  double z, lambda, b0;
  int64_t coordinate;
};

// Running means of a panel's first two integrands, for all times in it.
struct panel_means {
  double time[panel_nodes];
  double in_z[panel_nodes];

  panel_means(const double *time_values, const double *z_values) {
    hd::running_mean(time_values, time);
    if (z_values != nullptr)
      hd::running_mean(z_values, in_z);
  }
};

// Eight pairs of a coordinate and a time, each with the panel that holds its time.
template <int n_extra> struct pairs {
  static constexpr int n_integrals = n_extra > 0 ? n_extra : 1;
  int n = 0;
  alignas(64) double mean[panel_nodes][lanes], z_mean[panel_nodes][lanes];
  alignas(64) double width[lanes], target[lanes];
  double start_sinh[lanes], start_cosh[lanes], extra[n_integrals][lanes];
  double z[lanes], lambda[lanes], b0[lanes];
  double alpha[lanes], alpha_rest[lanes], gamma[lanes], gamma_rest[lanes], kappa[lanes];
  double g_inf_squared[lanes], beta_inf[lanes], exponent[lanes];
  int64_t where[lanes];

  // Without the start of the march, which is part of the target.
  hd::march_shape shape(int l) const {
    return {alpha[l],    alpha_rest[l],
            gamma[l],    gamma_rest[l],
            kappa[l],    g_inf_squared[l],
            beta_inf[l], exponent[l],
            0,           0};
  }

  void append(const panel_start &from, const march_position<n_extra> &at, const panel_means &means,
              double panel_width, double tau, int64_t place) {
    const int l = n;
    for (int k = 0; k < panel_nodes; ++k)
      mean[k][l] = means.time[k];
    if (n_extra > 0)
      for (int k = 0; k < panel_nodes; ++k)
        z_mean[k][l] = means.in_z[k];
    for (int e = 0; e < n_extra; ++e)
      extra[e][l] = at.extra[e];
    width[l] = panel_width;
    target[l] = tau - at.tau;
    start_sinh[l] = at.y.sinh;
    start_cosh[l] = at.y.cosh;
    z[l] = from.z;
    lambda[l] = from.lambda;
    b0[l] = from.b0;
    alpha[l] = from.shape.alpha;
    alpha_rest[l] = from.shape.alpha_rest;
    gamma[l] = from.shape.gamma;
    gamma_rest[l] = from.shape.gamma_rest;
    kappa[l] = from.shape.kappa;
    g_inf_squared[l] = from.shape.g_inf_squared;
    beta_inf[l] = from.shape.beta_inf;
    exponent[l] = from.shape.exponent;
    where[l] = place;
    ++n;
  }
};

// u inside each panel, and the mean of the integrand for z up to there.
template <int n_extra> void find_points(const pairs<n_extra> &p, double *u, double *z_mean) {
#ifdef __GNUC__
  const auto vectors = [](const double *x) { return reinterpret_cast<const lane_vector *>(x); };
  const lane_vector width = *vectors(p.width);
  lane_vector point;
  hd::invert_mean(vectors(p.mean[0]), width, *vectors(p.target), point);
  *reinterpret_cast<lane_vector *>(u) = point;
  const lane_vector x = point * (2 / width) - 1;
  *reinterpret_cast<lane_vector *>(z_mean) =
      n_extra > 0 ? hd::chebyshev(vectors(p.z_mean[0]), x).value : x - x;
#else
  for (int l = 0; l < lanes; ++l) {
    double time[panel_nodes], in_z[panel_nodes];
    for (int k = 0; k < panel_nodes; ++k) {
      time[k] = p.mean[k][l];
      in_z[k] = p.z_mean[k][l];
    }
    hd::invert_mean(time, p.width[l], p.target[l], u[l]);
    const double x = u[l] * (2 / p.width[l]) - 1;
    z_mean[l] = n_extra > 0 ? hd::chebyshev<double>(in_z, x).value : 0;
  }
#endif
}

// The integrals up to the point u of a pair's panel. Those of the sensitivities take a quadrature
// of their own: 16 nodes between the panel's start and the point.
template <int depth, int n_extra>
void integrals_at(const pairs<n_extra> &p, int l, double u, double z_mean, double *integrals) {
  if constexpr (n_extra > 0)
    integrals[in_z] = hd::fma(u, z_mean, p.extra[in_z][l]);
  if constexpr (n_extra > 1) {
    const hd::panel_rule rule = hd::narrow_rule(u);
    panel_values<n_extra> values;
    evaluate<depth>(p.shape(l), rule, {p.start_sinh[l], p.start_cosh[l]}, values);
    for (int e = in_lambda; e <= in_b0; ++e)
      integrals[e] = p.extra[e][l] + integral(values.extra[e], rule);
  }
}

inline void put(double *field, int64_t i, double value) {
  if (field != nullptr)
    field[i] = value;
}

inline void put_point(const hd::flow_point &p, int64_t i, const flow_fields &out) {
  put(out.theta, i, p.theta);
  put(out.residual, i, p.residual);
  put(out.beta, i, p.beta);
  put(out.eigenvalue, i, p.eigenvalue);
  put(out.d_z, i, p.d_z);
  put(out.d_lambda, i, p.d_lambda);
  put(out.d_b0, i, p.d_b0);
  put(out.d_t, i, p.d_t);
}

// The derivatives of theta where the rate of decay and the error are rate g_inf^2 and error z, from
// the integrals up to there.
template <int n_extra>
void put_derivatives(const panel_start &from, int depth, double rate, double error,
                     const double *integrals, int64_t i, const flow_fields &out) {
  const double slope = rate * error;
  put(out.d_t, i, hd::finite(from.z * hd::march_tau(from.shape, slope, depth)));
  if constexpr (n_extra > 0)
    put(out.d_z, i, slope * integrals[in_z]);
  if constexpr (n_extra > 1) {
    put(out.d_lambda, i, hd::finite(from.z * slope * integrals[in_lambda] / from.lambda));
    put(out.d_b0, i, hd::finite(from.z * slope * integrals[in_b0] / from.b0));
  }
}

template <int depth, int n_extra> void solve_pairs(pairs<n_extra> &p, const flow_fields &out) {
  alignas(64) double u[lanes], z_mean[lanes];
  double theta[lanes], residual[lanes], beta[lanes], eigenvalue[lanes], rate[lanes], error[lanes];
  find_points(p, u, z_mean);
  for (int l = 0; l < lanes; ++l) {
    const hd::march_shape m = p.shape(l);
    const hd::sinh_cosh step = hd::small_sinh_cosh(u[l]);
    const double s = hd::fma(p.start_sinh[l], step.cosh, p.start_cosh[l] * step.sinh);
    const hd::march_point point = hd::march_state(m, s, depth);
    theta[l] = p.z[l] * point.fit;
    residual[l] = p.z[l] * point.error;
    beta[l] = hd::scale_by_power(p.beta_inf[l] * point.s, p.exponent[l]);
    eigenvalue[l] = hd::march_tau(m, point.gain, depth);
    rate[l] = point.rate;
    error[l] = point.error;
  }
  for (int l = 0; l < p.n; ++l) {
    const int64_t i = p.where[l];
    put(out.theta, i, theta[l]);
    put(out.residual, i, residual[l]);
    put(out.beta, i, p.z[l] < 0 ? -beta[l] : beta[l]);
    put(out.eigenvalue, i, eigenvalue[l]);
    double integrals[pairs<n_extra>::n_integrals];
    integrals_at<depth>(p, l, u[l], z_mean[l], integrals);
    put_derivatives<n_extra>({p.shape(l), p.z[l], p.lambda[l], p.b0[l], i}, depth, rate[l],
                             error[l], integrals, i, out);
  }
  p.n = 0;
}

// Idle lanes compute something finite.
template <int depth, int n_extra> void solve_rest(pairs<n_extra> &p, const flow_fields &out) {
  if (p.n == 0)
    return;
  for (int l = p.n; l < lanes; ++l)
    p.width[l] = 1, p.mean[0][l] = 1, p.target[l] = 0;
  solve_pairs<depth>(p, out);
}

} // namespace
} // namespace eigenflow::isa::EF_LEVEL_NS
