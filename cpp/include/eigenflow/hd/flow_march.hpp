// SPDX-License-Identifier: BSD-3-Clause
// Gradient flow of one coordinate at depth D >= 1: theta = a b^D beta with a^2 = lambda + beta^2
// and b^2 = b0^2 + c beta^2, where c = D for one shared factor of power D and c = 1 for D separate
// ones. One scalar equation is left, beta' = g (z - beta g), g = a b^D. With s = beta / beta_inf,
// where beta_inf g(beta_inf) = z, and tau = g_inf^2 t it reads
//   ds/dtau = G (1 - s G),   G^2 = A B^D,   A = alpha + (1 - alpha) s^2,
//   B = gamma + (1 - gamma) s^2,   alpha = lambda / a_inf^2,   gamma = b0^2 / b_inf^2.
// tau(s) is an integral. In y, with s = X / (1 + X) and X = kappa sinh y, its integrand is analytic
// in a strip of half-width about 1 or more around the real axis and tends to a constant, so that
// 16 Gauss-Legendre nodes a unit of y reach round-off, whatever the stiffness.
#pragma once

#include <eigenflow/hd/exponential.hpp>
#include <eigenflow/hd/flow_tables.hpp>

EF_HD_BEGIN

constexpr int max_depth = 8;

// What the flow of one coordinate depends on.
struct march_shape {
  double alpha, alpha_rest; // sum to 1, each relatively accurate
  double gamma, gamma_rest; //
  double kappa;             // min(sqrt(lambda), b0 / sqrt(c), beta_inf) / beta_inf
  double g_inf_squared;     // tau / t is this times 2^(2 (D+1) exponent)
  double beta_inf;          // in units of 2^exponent
  double exponent;          //
  double start;             // tau where the march begins: 0, or later with a raised eigenvalue
  double per_phi;           // dtau / d(b0^D z t) at first
};

// b^depth and 1 + b + ... + b^(depth - 1), 1 <= depth <= 8. No loops: the callers' loops vectorise.
EF_HD double power_of(double b, int depth) {
  const double b2 = b * b, b4 = b2 * b2;
  const double low = (depth & 1 ? b : 1) * (depth & 2 ? b2 : 1);
  return low * ((depth & 4 ? b4 : 1) * (depth & 8 ? b4 * b4 : 1));
}
EF_HD double geometric_sum(double b, int depth) {
  double sum = 1;
  sum = depth > 1 ? fma(sum, b, 1.0) : sum;
  sum = depth > 2 ? fma(sum, b, 1.0) : sum;
  sum = depth > 3 ? fma(sum, b, 1.0) : sum;
  sum = depth > 4 ? fma(sum, b, 1.0) : sum;
  sum = depth > 5 ? fma(sum, b, 1.0) : sum;
  sum = depth > 6 ? fma(sum, b, 1.0) : sum;
  return depth > 7 ? fma(sum, b, 1.0) : sum;
}

EF_HD double least_of(double x, double y) { return x < y ? x : y; }
EF_HD double most_of(double x, double y) { return x > y ? x : y; }

// An upper bound of x^(1/n), less than a factor of 4 above it. Positive x.
EF_HD double root_above(double x, int n) {
  const double bounded = clamp(x, smallest_normal, 0x1p1023);
  return power_of_two(round_to_integer((exponent_of(bounded) + 1) / n + 0.5));
}

// ln r for Newton steps: relative error 0.01 everywhere and of third order at r = 1.
EF_HD double rough_log(double r) {
  const double bounded = clamp(r, 0x1p-1000, 0x1p1000);
  const double e = exponent_of(bounded * 0x1.6a09e667f3bcdp-1) + 1; // mantissa in [0.71, 1.42)
  const double mantissa = bounded * power_of_two(-e);
  return fma(e, 0.6931471805599453, 2 * (mantissa - 1) / (mantissa + 1));
}

// Newton on ln(theta(beta) / v) in ln beta, without logarithms: exp(-d) as 1 / (1 + d + d^2 / 2).
EF_HD double root_step(double beta, double v, double l, double b_squared, int depth, double c) {
  const double x = beta * beta, a2 = l + x, b2 = fma(c, x, b_squared);
  const double ratio = beta * sqrt(a2 * power_of(b2, depth)) / v;
  const double d = rough_log(ratio) / (1 + x / a2 + depth * (c * x / b2));
  return beta / fma(d, fma(d, 0.5, 1.0), 1.0);
}

// An eigenvalue far below all other lengths only sets when the growth starts: with h = b0^D z,
//   t(beta; lambda) = asinh(beta / sqrt(lambda)) / h + (terms without lambda)
// to relative errors of lambda / b0^2 and lambda / beta_inf^2. So lambda is raised to
// lambda' = 4^n lambda, about 1e-100 (b0^2 is 1e-24 or more, beta_inf^2 1e-28 where b grows at
// all), and the march begins n ln 2 / h later. That holds from beta = 1e9 sqrt(lambda') on; before,
// until h t = n ln 2 + 25, early_point holds.
struct raised_eigenvalue {
  double value; // lambda' in units of 2^2e
  double delay; // n ln 2
};

EF_HD raised_eigenvalue raise_eigenvalue(double lambda, double b_squared, double e) {
  const double lift = lambda < smallest_normal ? 54 : 0;
  const double normal =
      clamp(lambda * (lambda < smallest_normal ? 0x1p54 : 1.0), smallest_normal, 0x1p1023);
  const double missing = -333 - (exponent_of(normal) - lift - 2 * e);
  const double reach = b_squared > 1e-24 ? missing : 0; // one test a select: this must vectorise
  const double n = reach > 0 ? round_to_integer(0.5 * reach + 0.5) : 0;
  const double value = scale_by_power(normal, 2 * (n - e) - lift);
  return {clamp(value, 1e-280, 1e200), n * 0.6931471805599453};
}

// Lengths are measured in 2^e, about max(b0, |z|^(1/(D+2))), by the scaling symmetry
// (beta, sqrt(lambda), b0) -> u, z -> u^(D+2), t -> u^-(2D+2). |z| below 1e-150 in these units is
// raised to that: b does not grow then, and frozen_point holds. Where b0 is below 1e-12 in these
// units, neither it nor a tiny eigenvalue is treated right: the start of such a flow is mistimed,
// but nothing overflows. beta_inf by Newton on ln(theta(beta) / z), convex in
// ln beta, from the least of four upper bounds; seven steps reach round-off from all of them.
EF_HD march_shape march_setup(double z, double lambda, double b0, int depth, double c) {
  const double size = clamp(abs(z), smallest_normal, 0x1p1023);
  const double base = clamp(b0, smallest_normal, 0x1p1023);
  const double root_exponent = round_to_integer(exponent_of(size) / (depth + 2));
  const double base_exponent = exponent_of(base);
  const double e = root_exponent > base_exponent ? root_exponent : base_exponent;
  const double v = clamp(scale_by_power(abs(z), -e * (depth + 2)), 1e-150, 1e150);
  const double b = clamp(scale_by_power(b0, -e), 1e-140, 4.0);
  const raised_eigenvalue raised = raise_eigenvalue(lambda, b * b, e);
  const double l = raised.value;

  const double b_power = power_of(b, depth), c_power = sqrt(power_of(c, depth));
  double beta = least_of(v / (sqrt(l) * b_power), sqrt(v / b_power));
  beta = least_of(beta, root_above(v / c_power, depth + 2));
  beta = least_of(beta, root_above(v / (sqrt(l) * c_power), depth + 1));
  const double b_squared = b * b;
  beta = root_step(beta, v, l, b_squared, depth, c);
  beta = root_step(beta, v, l, b_squared, depth, c);
  beta = root_step(beta, v, l, b_squared, depth, c);
  beta = root_step(beta, v, l, b_squared, depth, c);
  beta = root_step(beta, v, l, b_squared, depth, c);
  beta = root_step(beta, v, l, b_squared, depth, c);
  beta = root_step(beta, v, l, b_squared, depth, c);
  const double x = beta * beta, a2 = l + x, b2 = fma(c, x, b_squared);
  march_shape m;
  m.alpha = l / a2;
  m.alpha_rest = x / a2;
  m.gamma = b_squared / b2;
  m.gamma_rest = c * x / b2;
  const double l_ratio = l / x, b_ratio = b_squared / (c * x);
  const double least = l_ratio < b_ratio ? l_ratio : b_ratio;
  m.kappa = least < 1 ? sqrt(least) : 1;
  const double g = v / beta;
  m.g_inf_squared = g * g;
  m.beta_inf = beta;
  m.exponent = e;
  const double per_phi = least_of(v / x / b_power, 1e300); // dtau / d(h t)
  m.start = raised.delay * per_phi;
  m.per_phi = per_phi;
  return m;
}

// Whether early_point holds at that tau.
EF_HD bool march_is_early(const march_shape &m, double tau) {
  return (m.start > 0) & (tau <= fma(25.0, m.per_phi, m.start));
}

// b grows by less than half an ulp on the whole way.
EF_HD bool march_is_frozen(const march_shape &m, int depth) {
  return depth * m.gamma_rest < 0x1p-55;
}

// tau of any time; many times share the factors.
struct march_clock {
  double rate;
  power_factors power;

  EF_HD march_clock(const march_shape &m, int depth)
      : rate(m.g_inf_squared), power(factors_of_power(2 * m.exponent * (depth + 1))) {}
  EF_HD double operator()(double t) const { return rate * t * power.first * power.second; }
};

EF_HD double march_tau(const march_shape &m, double t, int depth) {
  return march_clock(m, depth)(t);
}

// K at s = 1, in units of g_inf^2: the last rate of decay.
EF_HD double march_last_rate(const march_shape &m, int depth) {
  return 1 + m.alpha_rest + depth * m.gamma_rest;
}

struct march_node {
  double slope;         // dtau / dy
  double inverse_error; // 1 / (1 - s G)
};

// 1 - s^2 G^2 = (1 - s^2) times a divided difference, whose product rule has positive terms only.
EF_HD double divided_difference(const march_shape &m, double x, double a, double b, int depth) {
  const double sum = geometric_sum(b, depth);
  return fma(x, fma(a * m.gamma_rest, sum, m.alpha_rest), 1.0);
}

EF_HD march_node march_at(const march_shape &m, double sinh_y, double cosh_y, int depth) {
  const double big = m.kappa * sinh_y;
  const double s = big / (1 + big);
  const double x = s * s;
  const double a = fma(m.alpha_rest, x, m.alpha);
  const double b = fma(m.gamma_rest, x, m.gamma);
  const double root = sqrt(a * power_of(b, depth));
  const double g = root > 1e-290 ? root : 1e-290;
  const double top = fma(s, g, 1.0);
  const double bottom = fma(2.0, big, 1.0) * divided_difference(m, x, a, b, depth);
  const double scale = 1 / (g * bottom);
  march_node node;
  node.slope = m.kappa * cosh_y * top * scale;
  node.inverse_error = (1 + big) * (1 + big) * top * (g * scale);
  return node;
}

struct march_point {
  double s;     // beta / beta_inf
  double fit;   // theta / z
  double error; // 1 - theta / z, relatively accurate
  double gain;  // (g / g_inf)^2, the learned eigenvalue over its last value
  double rate;  // K / g_inf^2
};

EF_HD march_point march_state(const march_shape &m, double sinh_y, int depth) {
  const double big = m.kappa * sinh_y;
  march_point p;
  p.s = big / (1 + big);
  const double x = p.s * p.s;
  const double a = fma(m.alpha_rest, x, m.alpha);
  const double b = fma(m.gamma_rest, x, m.gamma);
  p.gain = a * power_of(b, depth);
  p.fit = p.s * sqrt(p.gain);
  const double difference = divided_difference(m, x, a, b, depth);
  p.error = fma(2.0, big, 1.0) * difference / ((1 + big) * (1 + big) * (1 + p.fit));
  p.rate = p.gain * (1 + m.alpha_rest * x / a + depth * (m.gamma_rest * x / b));
  return p;
}

// d ln K / d ln lambda and d ln K / d ln b0 at fixed theta, at s = beta / beta_inf. With theta' = K
// e, e = z - theta, and d_p K at fixed theta, the variation of theta in a parameter p is an
// integral over the past,
//   d theta / d p = K e int (d_p ln K) dt   (and K e int dt / e for z),
// in which, unlike in the form with d_p g at fixed beta, nothing cancels as theta approaches z.
// ln K follows from theta^2 = x (lambda + x) (b0^2 + c x)^D, x = beta^2, K = theta^2 (1 / x +
// 1 / a^2 + D c / b^2). The closest poles, K = 0, lie at sinh y = i / sqrt(D + 2) or further: the
// first unit of y needs narrower panels, and interpolants of 16 nodes are not good enough there.
struct march_sensitivity {
  double lambda, b0;
};

EF_HD march_sensitivity march_sensitivity_at(const march_shape &m, double s, int depth) {
  const double x = s * s;
  const double over_a = 1 / fma(m.alpha_rest, x, m.alpha);
  const double over_b = 1 / fma(m.gamma_rest, x, m.gamma);
  const double p = m.alpha * over_a, p_rest = m.alpha_rest * x * over_a;
  const double q = m.gamma * over_b, q_rest = m.gamma_rest * x * over_b;
  const double root = 1 + p_rest + depth * q_rest;
  const double scale = 1 / (root * root), mixed = p_rest * q_rest;
  return {p * scale * fma(-depth * q, mixed, p * fma(depth * q_rest, q_rest, 1.0)),
          2 * depth * q * scale * fma(-p, mixed, q * fma(p_rest, p_rest, 1.0))};
}

// Panels needed until 1 - s is below round-off: after that the decay is exponential.
EF_HD double march_panels(const march_shape &m) {
  return round_to_integer((1 - exponent_of(m.kappa)) * 0.6931471805599453 + 38.5);
}

struct sinh_cosh {
  double sinh, cosh;
};

// 0 <= u <= 1/2, Taylor to round-off.
EF_HD sinh_cosh small_sinh_cosh(double u) {
  const double w = u * u;
  double p = 1.0 / 1307674368000.0, q = 1.0 / 20922789888000.0;
  p = fma(p, w, 1.0 / 6227020800.0);
  p = fma(p, w, 1.0 / 39916800.0);
  p = fma(p, w, 1.0 / 362880.0);
  p = fma(p, w, 1.0 / 5040.0);
  p = fma(p, w, 1.0 / 120.0);
  p = fma(p, w, 1.0 / 6.0);
  q = fma(q, w, 1.0 / 87178291200.0);
  q = fma(q, w, 1.0 / 479001600.0);
  q = fma(q, w, 1.0 / 3628800.0);
  q = fma(q, w, 1.0 / 40320.0);
  q = fma(q, w, 1.0 / 720.0);
  q = fma(q, w, 1.0 / 24.0);
  q = fma(q, w, 0.5);
  return {fma(p * w, u, u), fma(q, w, 1.0)};
}

// The rule of a panel of any width up to 1/2.
EF_HD panel_rule narrow_rule(double width) {
  panel_rule rule = whole_panel();
  rule.width = width;
  EF_KEEP_LOOP
  for (int i = 0; i < panel_nodes; ++i) {
    const sinh_cosh u = small_sinh_cosh(width * panel_node_positions()[i]);
    rule.weight[i] *= width;
    rule.sinh_u[i] = u.sinh;
    rule.cosh_u[i] = u.cosh;
  }
  return rule;
}

// Chebyshev coefficients of the running mean of a panel's integrand from its 16 node values.
EF_HD void running_mean(const double *__restrict values, double *__restrict mean) {
  const double *matrix = running_mean_matrix();
  for (int k = 0; k < panel_nodes; ++k)
    mean[k] = 0;
  EF_KEEP_LOOP
  for (int i = 0; i < panel_nodes; ++i)
    for (int k = 0; k < panel_nodes; ++k)
      mean[k] = fma(matrix[i * panel_nodes + k], values[i], mean[k]);
}

template <class V> struct chebyshev_value {
  V value, derivative;
};

// The Chebyshev sum of the first n_terms at x in [-1, 1] and its derivative, by Clenshaw's
// recurrence. V is double, or a vector of doubles that solves several equations side by side.
template <int n_terms, class V> EF_HD chebyshev_value<V> chebyshev(const V *c, const V &x) {
  const V two_x = x + x;
  V b1 = c[n_terms - 1], b2 = 0.0, half_d1 = 0.0, half_d2 = 0.0;
  for (int k = n_terms - 2; k > 0; --k) {
    const V b = fma(two_x, b1, c[k] - b2);
    const V half_d = fma(two_x, half_d1, b1 - half_d2);
    b2 = b1;
    b1 = b;
    half_d2 = half_d1;
    half_d1 = half_d;
  }
  return {fma(x, b1, c[0] - b2), fma(two_x, half_d1, b1 - (half_d2 + half_d2))};
}

// One Newton step for v mean(v - 1) = target with the first coefficients of the mean.
template <int n_terms, class V> EF_HD void improve_point(const V *mean, const V &target, V &v) {
  const chebyshev_value<V> m = chebyshev<n_terms, V>(mean, v - 1.0);
  v = v + (target - v * m.value) / fma(v, m.derivative, m.value);
  v = least_of(most_of(v, V(0.0)), V(2.0));
}

// v in [0, 2] where v mean(v - 1) = target, by Newton from the secant: a panel's point in units of
// half its width, whose mean has its first argument in [-1, 1]. The integrand varies by a bounded
// factor over half a unit: three steps with the first coefficients, which fall by a factor of 5 or
// more each, come within 1e-4 from anywhere, and two with all of them reach round-off.
template <class V> EF_HD V invert_mean(const V *mean, const V &target) {
  V at_end = mean[0];
  for (int k = 1; k < panel_nodes; ++k)
    at_end = at_end + mean[k];
  V v = least_of(target / at_end, V(2.0));
  improve_point<7>(mean, target, v);
  improve_point<7>(mean, target, v);
  improve_point<7>(mean, target, v);
  improve_point<panel_nodes>(mean, target, v);
  improve_point<panel_nodes>(mean, target, v);
  return v;
}

EF_HD_END
