// SPDX-License-Identifier: BSD-3-Clause
// The points of panels that belong to given times. A few (coordinate, time) pairs are collected and
// solved side by side. Lanes never mix, so a result depends on its own coordinate only.
#pragma once

#include "flow.hpp"
#include "vectors.hpp"

#include <eigenflow/hd/flow_point.hpp>

namespace eigenflow::isa::EF_LEVEL_NS {
namespace {

using hd::panel_nodes;
using std::int64_t;

// Two registers of AVX2 or AVX-512: one alone would wait for its own results.
constexpr int lanes = vector_bytes == 64 ? 16 : 8;

#if EF_GNU_EXTENSIONS && (defined(__SSE2__) || defined(__aarch64__))
#define EF_LANE_VECTORS 1
// A number in each lane, over as many registers as that takes.
struct __attribute__((may_alias)) lane_vector {
  using part = decltype(broadcast(0.0));
  static constexpr int n = lanes * static_cast<int>(sizeof(double)) / vector_bytes;
  part at[n];

  lane_vector() = default;
  EF_HD lane_vector(double x) { // every lane
    for (part &p : at)
      p = broadcast(x);
  }

  template <class Operation> EF_HD static lane_vector each(const Operation &operation) {
    lane_vector out;
    for (int i = 0; i < n; ++i)
      out.at[i] = operation(i);
    return out;
  }
  EF_HD friend lane_vector operator+(const lane_vector &a, const lane_vector &b) {
    return each([&](int i) { return a.at[i] + b.at[i]; });
  }
  EF_HD friend lane_vector operator-(const lane_vector &a, const lane_vector &b) {
    return each([&](int i) { return a.at[i] - b.at[i]; });
  }
  EF_HD friend lane_vector operator*(const lane_vector &a, const lane_vector &b) {
    return each([&](int i) { return a.at[i] * b.at[i]; });
  }
  EF_HD friend lane_vector operator/(const lane_vector &a, const lane_vector &b) {
    return each([&](int i) { return a.at[i] / b.at[i]; });
  }
  EF_HD friend lane_vector fma(const lane_vector &a, const lane_vector &b, const lane_vector &c) {
    return each([&](int i) { return isa::EF_LEVEL_NS::fma(a.at[i], b.at[i], c.at[i]); });
  }
  EF_HD friend lane_vector least_of(const lane_vector &a, const lane_vector &b) {
    return each([&](int i) { return a.at[i] < b.at[i] ? a.at[i] : b.at[i]; });
  }
  EF_HD friend lane_vector most_of(const lane_vector &a, const lane_vector &b) {
    return each([&](int i) { return a.at[i] > b.at[i] ? a.at[i] : b.at[i]; });
  }
};
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

// Out of line, where the compiler keeps the sums in vector registers.
[[gnu::noinline]] inline void running_mean(const double *values, double *mean) {
  hd::running_mean(values, mean);
}

// Running means of a panel's first two integrands, for all times in it.
struct panel_means {
  double time[panel_nodes];
  double in_z[panel_nodes];

  panel_means(const double *time_values, const double *z_values) {
    running_mean(time_values, time);
    if (z_values != nullptr)
      running_mean(z_values, in_z);
  }
};

// Pairs of a coordinate and a time, each with the panel that holds its time.
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

  // The next `count` lanes, whose targets and places are set, share a panel.
  void append(const panel_start &from, const hd::march_position<n_extra> &at,
              const panel_means &means, double panel_width, int count) {
    if (count == 1)
      share(from, at, means, panel_width, [l = n](double *row, double value) { row[l] = value; });
    else // all that are free, as whole registers
      share(from, at, means, panel_width, [first = n](double *row, double value) {
        for (int l = 0; l < lanes; ++l)
          row[l] = l < first ? row[l] : value;
      });
    n += count;
  }

private:
  template <class Fill>
  EF_HD void share(const panel_start &from, const hd::march_position<n_extra> &at,
                   const panel_means &means, double panel_width, const Fill &fill) {
    for (int k = 0; k < panel_nodes; ++k)
      fill(mean[k], means.time[k]);
    if (n_extra > 0)
      for (int k = 0; k < panel_nodes; ++k)
        fill(z_mean[k], means.in_z[k]);
    for (int e = 0; e < n_extra; ++e)
      fill(extra[e], at.extra[e]);
    fill(width, panel_width);
    fill(start_sinh, at.y.sinh);
    fill(start_cosh, at.y.cosh);
    fill(z, from.start.z);
    fill(lambda, from.start.lambda);
    fill(b0, from.start.b0);
    fill(alpha, from.shape.alpha);
    fill(alpha_rest, from.shape.alpha_rest);
    fill(gamma, from.shape.gamma);
    fill(gamma_rest, from.shape.gamma_rest);
    fill(kappa, from.shape.kappa);
    fill(g_inf_squared, from.shape.g_inf_squared);
    fill(beta_inf, from.shape.beta_inf);
    fill(exponent, from.shape.exponent);
  }
};

// u inside each panel, and the mean of the integrand for z up to there.
template <int n_extra> void find_points(const pairs<n_extra> &p, double *u, double *z_mean) {
#ifdef EF_LANE_VECTORS
  const auto vectors = [](const double *x) { return reinterpret_cast<const lane_vector *>(x); };
  const lane_vector half = *vectors(p.width) * 0.5;
  const lane_vector v = hd::invert_mean(vectors(p.mean[0]), *vectors(p.target) / half);
  *reinterpret_cast<lane_vector *>(u) = v * half;
  *reinterpret_cast<lane_vector *>(z_mean) =
      n_extra > 0 ? hd::chebyshev<panel_nodes>(vectors(p.z_mean[0]), v - 1.0).value : 0.0;
#else
  for (int l = 0; l < lanes; ++l) {
    double time[panel_nodes], in_z[panel_nodes];
    for (int k = 0; k < panel_nodes; ++k) {
      time[k] = p.mean[k][l];
      in_z[k] = p.z_mean[k][l];
    }
    const double half = 0.5 * p.width[l], v = hd::invert_mean(time, p.target[l] / half);
    u[l] = v * half;
    z_mean[l] = n_extra > 0 ? hd::chebyshev<panel_nodes>(in_z, v - 1).value : 0;
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

// Derivatives of a pair, and the state that only they need.
template <int depth, int n_extra>
void put_all_derivatives(const pairs<n_extra> &p, const double *u, const double *z_mean,
                         const double *rate, const double *error, const flow_fields &out) {
  if (n_extra > 0 || out.d_t != nullptr)
    for (int l = 0; l < p.n; ++l)
      put_derivatives<depth>(p, l, u[l], z_mean[l], rate[l], error[l], out);
}

template <int depth, int n_extra>
void put_state(const pairs<n_extra> &p, const double *s, const double *gain,
               const flow_fields &out) {
  for (int l = 0; l < p.n && out.beta != nullptr; ++l)
    out.beta[p.where[l]] =
        hd::signed_as(hd::scale_by_power(p.beta_inf[l] * s[l], p.exponent[l]), p.z[l]);
  for (int l = 0; l < p.n && out.eigenvalue != nullptr; ++l)
    out.eigenvalue[p.where[l]] = hd::march_tau(p.shape(l), gain[l], depth);
}

template <int depth, int n_extra> void solve_pairs(pairs<n_extra> &p, const flow_fields &out) {
  alignas(64) double u[lanes], z_mean[lanes];
  double theta[lanes], residual[lanes], s[lanes], gain[lanes], rate[lanes], error[lanes];
  find_points(p, u, z_mean);
  for (int l = 0; l < lanes; ++l) {
    const hd::sinh_cosh step = hd::small_sinh_cosh(u[l]);
    const double sinh_y = hd::fma(p.start_sinh[l], step.cosh, p.start_cosh[l] * step.sinh);
    const hd::march_point point = hd::march_state(p.shape(l), sinh_y, depth);
    theta[l] = p.z[l] * point.fit;
    residual[l] = p.z[l] * point.error;
    s[l] = point.s;
    gain[l] = point.gain;
    rate[l] = point.rate;
    error[l] = point.error;
  }
  for (int l = 0; l < p.n; ++l) {
    put(out.theta, p.where[l], theta[l]);
    put(out.residual, p.where[l], residual[l]);
  }
  put_state<depth>(p, s, gain, out);
  put_all_derivatives<depth>(p, u, z_mean, rate, error, out);
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
