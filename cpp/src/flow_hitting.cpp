// SPDX-License-Identifier: BSD-3-Clause
// The time at which a coordinate reaches a fraction of its observation: the closed form at depth 0,
// the march's quadrature up to the point at depth >= 1.
#include "flow_tiles.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/hd/flow_limits.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <limits>
#include <string>

namespace eigenflow::flow {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();
constexpr index hitting_tile = 128;

// tanh(r t / 2) = f r / (h + lambda (1 - f)), h = hypot(lambda, 2 f z); where that is near 1, the
// quadratic for q = exp(-r t), whose terms have one sign, keeps t accurate instead. Quarters of
// lengths cannot overflow, and lengths of which a quarter might not be normal are raised first.
double closed_hitting_time(double f, double z, double lambda) {
  if (f == 0)
    return 0;
  if (lambda == 0 || f == 1)
    return never;
  const double unit = std::max(std::abs(z), lambda) < 0x1p-600 ? 0x1p600 : 1;
  const double half = z * unit / 2, quarter = lambda * unit / 4;
  const double left = 1 - f, radius = std::hypot(half, quarter);
  // A common factor of f and lambda where both of the sum's terms are small.
  const double lift = std::max(quarter, f * std::abs(half)) < 0x1p-400 ? 0x1p500 : 1;
  const double part = f * lift, lifted = lambda * unit * lift / 4;
  const double tangent = part * radius / (std::hypot(lifted, part * half) + left * lifted);
  if (tangent <= 0.5)
    return std::log1p(2 * tangent / (1 - tangent)) / 4 / radius * unit;
  const double rho = quarter / radius;
  const double b = rho * rho * left + f;
  const double root = std::hypot(b, rho * left * std::sqrt((1 - rho) * (1 + rho)));
  const double rho_over_q = (b + root) / (left * (1 + rho));
  const double x = rho > 1e-290 ? std::log(rho_over_q / rho)
                                : std::log(radius) + std::log(4 / unit) - std::log(lambda) +
                                      std::log(rho_over_q);
  return x / 4 / radius * unit;
}

// Inverse of theta = lambda b0^D sinh(2 phi) / 2; the quotient may be beyond all numbers.
double early_phi(double theta, double lambda, double power) {
  const double ratio = 2 * theta / lambda / power;
  return ratio < 1e300 ? 0.5 * std::asinh(ratio)
                       : 0.5 * (std::log(4 * theta) - std::log(lambda) - std::log(power));
}

struct position {
  double tau;
  hd::sinh_cosh y{0, 1};

  hd::sinh_cosh ahead(double sinh_w, double cosh_w) const {
    return {y.sinh * cosh_w + y.cosh * sinh_w, y.cosh * cosh_w + y.sinh * sinh_w};
  }
};

void cross(const hd::march_shape &m, const hd::panel_rule &rule, int depth, position &at) {
  double sum = 0;
  for (int i = 0; i < hd::panel_nodes; ++i) {
    const hd::sinh_cosh y = at.ahead(rule.sinh_u[i], rule.cosh_u[i]);
    sum += rule.weight[i] * hd::march_at(m, y.sinh, y.cosh, depth).slope;
  }
  at.tau += sum;
  at.y = at.ahead(std::sinh(rule.width), std::cosh(rule.width));
}

// How far into the unit panel theta / (z - theta) is `odds`: Newton on its logarithm, which grows
// like ln y at first (then also the unknown is a logarithm) and evenly later, kept in a bracket.
double point_in_panel(const hd::march_shape &m, const position &at, double odds, bool first,
                      int depth) {
  double low = 0, high = 1, w = 0.5;
  if (first) {
    const hd::march_point end = hd::march_state(m, std::sinh(1.0), depth);
    w = std::min(1.0, odds * end.error / end.fit);
  }
  for (int i = 0; i < 100; ++i) {
    const hd::sinh_cosh y = at.ahead(std::sinh(w), std::cosh(w));
    const hd::march_point p = hd::march_state(m, y.sinh, depth);
    const double gap = std::log(odds * p.error / p.fit);
    const double step = gap * p.fit / (p.rate * hd::march_at(m, y.sinh, y.cosh, depth).slope);
    (gap > 0 ? low : high) = w;
    const double next = first ? w * std::exp(step / w) : w + step;
    if (std::abs(step) <= 1e-8 * (first ? w : 1))
      return std::min(std::max(next, 0.0), 1.0); // the step squared is below round-off
    w = next > low && next < high ? next : 0.5 * (low + high);
  }
  return w;
}

double deep_hitting_time(double f, double z, double lambda, double b0, int depth, double rate) {
  if (f == 0)
    return 0;
  if (lambda == 0 || b0 == 0 || f == 1)
    return never;
  const hd::march_shape m = hd::march_setup(z, lambda, b0, depth, rate);
  if (hd::march_is_frozen(m, depth)) {
    const double w = hd::frozen_power(b0, depth);
    return closed_hitting_time(f, z, hd::finite(w * lambda)) / w;
  }
  const auto time_of = [&](double tau) {
    return hd::scale_by_power(tau / m.g_inf_squared, -2 * m.exponent * (depth + 1));
  };
  if (m.start > 0) {
    const double tau = early_phi(f * std::abs(z), lambda, hd::power_of(b0, depth)) * m.per_phi;
    if (hd::march_is_early(m, tau))
      return time_of(tau);
  }
  const double n_panels = hd::march_panels(m), sinh_1 = std::sinh(1.0), cosh_1 = std::cosh(1.0);
  const double odds = f / (1 - f);
  position at{m.start};
  bool found = false;
  for (double panel = 0; panel < n_panels && !found; ++panel) {
    const hd::march_point end = hd::march_state(m, at.ahead(sinh_1, cosh_1).sinh, depth);
    found = end.fit >= odds * end.error;
    if (!found) {
      cross(m, hd::whole_panel(), depth, at);
      continue;
    }
    double width = point_in_panel(m, at, odds, panel == 0, depth);
    if (width > 0.5) {
      cross(m, hd::half_panel(), depth, at);
      width -= 0.5;
    }
    cross(m, hd::narrow_rule(width), depth, at);
  }
  if (!found) // the decay is exponential from here on
    at.tau += std::log(hd::march_state(m, at.y.sinh, depth).error / (1 - f)) /
              hd::march_last_rate(m, depth);
  return time_of(at.tau);
}

} // namespace

template <class T>
void hitting_time(const options &opts, const coordinates<T> &in,
                  vector_view<const double> fractions, double *out) {
  check(opts, in, opts.depth > 0);
  for (index i = 0; i < fractions.size; ++i)
    require(fractions[i] >= 0 && fractions[i] <= 1, "fraction: want values from 0 to 1");
  const index total = in.z.rows * in.z.cols;
  const auto chunk = [&](index begin, index end, int) {
    tile_inputs<T> inputs(in, opts.depth > 0);
    const isa::flow_tile tile = inputs.load(begin, end - begin);
    for (index i = 0; i < fractions.size; ++i)
      for (index j = 0; j < tile.n; ++j)
        out[i * total + begin + j] =
            opts.depth == 0 ? closed_hitting_time(fractions[i], tile.z[j], tile.lambda[j])
                            : deep_hitting_time(fractions[i], tile.z[j], tile.lambda[j], tile.b0[j],
                                                opts.depth, b_rate(opts));
  };
  parallel_for(total, opts.depth == 0 ? 16 * hitting_tile : hitting_tile, chunk, opts.workers);
}

template void hitting_time(const options &, const coordinates<float> &, vector_view<const double>,
                           double *);
template void hitting_time(const options &, const coordinates<double> &, vector_view<const double>,
                           double *);

} // namespace eigenflow::flow
