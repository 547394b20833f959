// SPDX-License-Identifier: BSD-3-Clause
// The link of coupled problems. Where a design matrix couples the coordinates, each of them still
// obeys beta' = g(beta) f with a force f of its own, so beta is a function of v = int f dt alone:
//   v = int_0^beta ds / g(s),   g = sqrt(lambda + s^2) (b0^2 + c s^2)^(D/2).
// In lengths A = sqrt(lambda), B = b0 / sqrt(c) and with w = c^(D/2) v:
//   D = 0: beta = A sinh v.
//   D = 1: beta = p sc(q w | 1 - p^2 / q^2), p and q the smaller and the larger of A and B.
//   D = 2: beta = A B S / sqrt(1 - (A S)^2), S = sinh(B k w) / k or sin(B k w) / k, k^2 = |A^2 -
//   B^2|. D >= 3: Gauss-Legendre panels in y, s = min(A, B) sinh y, where the integrand is analytic
//   in a strip of half-width pi / 2, falls, and is summed until the coordinate is reached.
// At D >= 1 the whole integral is finite: beta is infinite from there on.
#pragma once

#include <eigenflow/hd/flow_march.hpp>
#include <eigenflow/hd/trig.hpp>

EF_HD_BEGIN

struct link_point {
  double beta;
  double theta; // beta g
  double rate;  // d theta / d v = g^2 (1 + beta^2 / a^2 + D c beta^2 / b^2)
};

EF_HD double infinity() { return bit_cast<double>(uint64(0x7ff0000000000000u)); }

// sqrt(x^2 + y^2) without overflow or underflow, x, y >= 0.
EF_HD double length_of(double x, double y) {
  const double big = x > y ? x : y, small = x > y ? y : x;
  const double ratio = big > 0 ? small / big : 0;
  return big * sqrt(fma(ratio, ratio, 1.0));
}

// x >= 0, to about 3 ulp; infinite above 710.
EF_HD double sinh_of(double x) {
  const double half = 0.5 * (x < 1420 ? x : 1420);
  const exp_parts once = exp_minus(half), twice = exp_minus(4 * half);
  return twice.one_minus_exp / once.exp * 0.5 / once.exp;
}

// cs = cn / sn of u >= 0 and the complementary modulus, 0 < complement <= 1: descending Landen by
// the arithmetic-geometric mean (Bulirsch, Numerische Mathematik 7, 1965). All terms are positive,
// so it stays accurate as the modulus goes to 1. Zero from the quarter period on.
EF_HD double jacobi_cs(double u, double complement) {
  double means[16], roots[16];
  double a = 1, b = complement, c = 1;
  int n = 0;
  for (; n < 15; ++n) {
    means[n] = a;
    roots[n] = b;
    c = 0.5 * (a + b);
    if (abs(a - b) <= 1e-8 * a)
      break;
    b = sqrt(a * b);
    a = c;
  }
  const double turns = u * c * 0.3183098861837907;
  if (!(turns < 0.5))
    return 0;
  const sine_cosine<double> phase = sincospi(turns);
  double slope = phase.cosine / phase.sine, cs = c * slope, dn = 1;
  for (int i = n < 15 ? n : 14; i >= 0; --i) {
    slope *= cs;
    cs *= dn;
    dn = (roots[i] + slope) / (means[i] + slope);
    slope = cs / means[i];
  }
  return cs;
}

EF_HD double link_beta_1(double w, double a, double b) {
  const double p = a < b ? a : b, q = a < b ? b : a;
  const double u = q * w;
  if (u < 1e-100) // sc(u) = u; the recurrence would square 1 / u
    return p * u;
  const double cs = jacobi_cs(u, p / q);
  return cs > 0 ? p / cs : infinity();
}

EF_HD double link_beta_2(double w, double a, double b) {
  const double gap = a > b ? a - b : b - a;
  const double k = sqrt(gap * (a + b)), x = b * k * w;
  if (a > b && x >= 1) { // here 1 - (A S)^2 would cancel: it is (A^2 cos^2 x - B^2) / k^2
    const double turns = x * 0.3183098861837907;
    if (!(turns < 0.5))
      return infinity();
    const sine_cosine<double> phase = sincospi(turns);
    const double left = fma(a, phase.cosine, -b);
    return left > 0 ? a * b * phase.sine / sqrt(left * fma(a, phase.cosine, b)) : infinity();
  }
  double s = b * w;
  if (x > 1e-9)
    s = (a > b ? sinpi(x * 0.3183098861837907) : sinh_of(x)) / k;
  const double grown = a * s, left = 1 - grown;
  return left > 0 ? b * grown / sqrt(left * (1 + grown)) : infinity();
}

// The integrand in y, s = low sinh y, in lengths where c = 1.
struct link_panel {
  double low, a, b;
  int depth;
  sinh_cosh start;

  EF_HD sinh_cosh ahead(const sinh_cosh &u) const {
    return {fma(start.cosh, u.sinh, start.sinh * u.cosh),
            fma(start.sinh, u.sinh, start.cosh * u.cosh)};
  }
  // Its values at the nodes of the rule from `start` on; returns the integral.
  EF_HD double integrate(const panel_rule &rule, double *values) const {
    double sum = 0;
    for (int i = 0; i < panel_nodes; ++i) {
      const sinh_cosh y = ahead({rule.sinh_u[i], rule.cosh_u[i]});
      const double s = low * y.sinh;
      values[i] = low * y.cosh / (length_of(a, s) * power_of(length_of(b, s), depth));
      sum = fma(rule.weight[i], values[i], sum);
    }
    return sum;
  }
  // Goes to the end of the rule if there is as much left, and takes it away.
  EF_HD bool passes(const panel_rule &rule, const sinh_cosh &width, double &left, double *values) {
    const double whole = integrate(rule, values);
    if (whole > left)
      return false;
    left -= whole;
    start = ahead(width);
    return true;
  }
};

// The u in [0, 1/2] where u mean(u) = target. The integral is concave, so that Newton's steps from
// 0 rise to it; over half a unit the slope falls by exp(depth / 2) at most, which bounds their
// number.
EF_HD double invert_falling(const double *mean, double target) {
  double u = 0;
  for (int i = 0; i < 40; ++i) {
    const chebyshev_value<double> m = chebyshev<panel_nodes, double>(mean, 8 * u - 1);
    const double step = (target - u * m.value) / fma(8 * u, m.derivative, m.value);
    u += step;
    if (!(abs(step) > 1e-15 * u))
      break;
  }
  return u < 0.25 ? u : 0.25;
}

// Whole panels suffice to integrate; the polynomial that is inverted is one of a quarter.
EF_HD double link_beta_panels(double w, double a, double b, int depth) {
  const double low = a < b ? a : b, high = a < b ? b : a;
  link_panel panel = {low, a, b, depth, {0, 1}};
  double left = w, values[panel_nodes], mean[panel_nodes];
  // Beyond 1e6 max(A, B) less than 1e-18 of the integral is left.
  while (low * panel.start.sinh < 1e6 * high) {
    if (panel.passes(whole_panel(), {1.1752011936438014, 1.5430806348152437}, left, values))
      continue;
    panel.passes(half_panel(), {0.5210953054937474, 1.1276259652063807}, left, values);
    if (panel.passes(quarter_panel(), {0.2526123168081683, 1.0314130998795732}, left, values))
      panel.integrate(quarter_panel(), values);
    running_mean(values, mean);
    const sinh_cosh u = small_sinh_cosh(invert_falling(mean, left));
    return low * panel.ahead(u).sinh;
  }
  return infinity();
}

// v >= 0; positive lambda, and positive b0 at depth >= 1. Lengths in units of a power of two near
// B, by the symmetry (beta, A, B) -> u, v -> u^-D.
EF_HD double link_beta(double v, double lambda, double b0, int depth, double c) {
  const double start = sqrt(lambda);
  if (depth == 0)
    return start * sinh_of(v);
  const double length = b0 / sqrt(c);
  const double e = exponent_of(clamp(length, smallest_normal, 0x1p1023));
  const double a = scale_by_power(start, -e), b = scale_by_power(length, -e);
  const double w = scale_by_power(v * sqrt(power_of(c, depth)), e * depth);
  const double unscaled = depth == 1   ? link_beta_1(w, a, b)
                          : depth == 2 ? link_beta_2(w, a, b)
                                       : link_beta_panels(w, a, b, depth);
  return scale_by_power(unscaled, e);
}

// The state at v of any sign. At a saddle, lambda = 0 or b0 = 0, it is 0 for ever.
EF_HD link_point link_at(double v, double lambda, double b0, int depth, double c) {
  if (lambda == 0 || (depth > 0 && b0 == 0))
    return {0, 0, 0};
  const double beta = v == 0 ? 0 : link_beta(abs(v), lambda, b0, depth, c);
  if (!(beta < infinity()))
    return {copysign(beta, v), copysign(beta, v), beta};
  const double a = length_of(sqrt(lambda), beta);
  const double b_part = sqrt(c) * beta, b = length_of(b0, b_part);
  const double g = a * (depth > 0 ? power_of(b, depth) : 1);
  const double of_a = beta / a, of_b = depth > 0 ? b_part / b : 0;
  const double growth = fma(of_a, of_a, 1.0) + depth * (of_b * of_b);
  return {copysign(beta, v), beta > 0 ? copysign(beta * g, v) : v * 0, g * g * growth};
}

EF_HD_END
