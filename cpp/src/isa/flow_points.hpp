// SPDX-License-Identifier: BSD-3-Clause
// The points of panels that belong to given times. Eight (coordinate, time) pairs are collected and
// solved side by side. Lanes never mix, so a result depends on its own coordinate only.
#pragma once

#include "flow.hpp"

#include <eigenflow/hd/flow_point.hpp>

namespace eigenflow::isa::EF_LEVEL_NS {
namespace {

using hd::panel_nodes;
using std::int64_t;

constexpr int lanes = 8;
#ifdef __GNUC__
using lane_vector = double __attribute__((vector_size(lanes * sizeof(double)), may_alias));
#endif

// One copy for each depth and number of integrands, as it is called from several places.
template <int depth, int n_extra>
void evaluate(const hd::march_shape &m, const hd::panel_rule &rule, hd::sinh_cosh start,
              hd::panel_values<n_extra> &out) {
  hd::evaluate(m, rule, start, depth, out);
}

struct panel_start {
  const hd::march_shape &shape;
  hd::flow_start start;
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

  hd::march_position<n_extra> position(int l) const {
    hd::march_position<n_extra> at(shape(l), 0);
    at.y = {start_sinh[l], start_cosh[l]};
    for (int e = 0; e < n_extra; ++e)
      at.extra[e] = extra[e][l];
    return at;
  }

  void append(const panel_start &from, const hd::march_position<n_extra> &at,
              const panel_means &means, double panel_width, double tau, int64_t place) {
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
    z[l] = from.start.z;
    lambda[l] = from.start.lambda;
    b0[l] = from.start.b0;
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
      n_extra > 0 ? hd::chebyshev<panel_nodes>(vectors(p.z_mean[0]), x).value : x - x;
#else
  for (int l = 0; l < lanes; ++l) {
    double time[panel_nodes], in_z[panel_nodes];
    for (int k = 0; k < panel_nodes; ++k) {
      time[k] = p.mean[k][l];
      in_z[k] = p.z_mean[k][l];
    }
    hd::invert_mean(time, p.width[l], p.target[l], u[l]);
    const double x = u[l] * (2 / p.width[l]) - 1;
    z_mean[l] = n_extra > 0 ? hd::chebyshev<panel_nodes>(in_z, x).value : 0;
  }
#endif
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

template <int depth, int n_extra>
void put_derivatives(const pairs<n_extra> &p, int l, double u, double z_mean, double rate,
                     double error, const flow_fields &out) {
  double integrals[pairs<n_extra>::n_integrals];
  hd::integrals_at(p.shape(l), depth, p.position(l), u, z_mean, integrals);
  hd::flow_point point{};
  hd::set_derivatives<n_extra>({p.z[l], p.lambda[l], p.b0[l]}, p.shape(l), depth, rate, error,
                               integrals, point);
  put(out.d_t, p.where[l], point.d_t);
  if (n_extra > 0)
    put(out.d_z, p.where[l], point.d_z);
  put(out.d_lambda, p.where[l], point.d_lambda);
  put(out.d_b0, p.where[l], point.d_b0);
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
    put(out.beta, i, hd::signed_as(beta[l], p.z[l]));
    put(out.eigenvalue, i, eigenvalue[l]);
    put_derivatives<depth>(p, l, u[l], z_mean[l], rate[l], error[l], out);
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
