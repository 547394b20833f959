// SPDX-License-Identifier: BSD-3-Clause
// Gradient flow of one coordinate where a closed form exists: theta' = K(theta) (z - theta) with
// K = lambda (vanilla) or sqrt(lambda^2 + 4 theta^2) (theta = a beta, depth 0). No branches: these
// loops vectorise. Every sum below has terms of one sign, so nothing cancels.
#pragma once

#include <eigenflow/hd/exponential.hpp>

EF_HD_BEGIN

// theta = (1 - exp(-lambda t)) z, relatively accurate while lambda t is a normal number.
EF_HD double vanilla_flow(double z, double lambda, double t) {
  const double x = lambda * t;
  // The select also catches 0 * inf: an eigenvalue of zero never moves.
  return lambda == 0 ? 0 : z * exp_minus(x < 1500 ? x : 1500).one_minus_exp;
}

// theta = z / (1 + R), R = 2 q / N, with r = hypot(2 z, lambda), rho = lambda / r, q = exp(-r t),
// m = 1 - q, N = rho m ((1 + q) + rho m): the Riccati solution of s' = z - lambda s - z s^2.
// rho and q may both be far below the smallest double while their ratio decides: both are kept as
// mantissa and exponent, and enter as n = N 2^j and two_q = 2 q 2^j.
struct closed_form {
  double n;              // after both shrink factors, for the denominator
  double n_full;         // before them
  double two_q;          //
  double shrink1;        // n = n_full shrink1 shrink2; both are 1 unless q / rho > 1
  double shrink2;        //
  double x;              // r t, at most 6000, where q / rho^2 is below 2^-2000 for every double
  double q, m;           // exp(-x), 1 - exp(-x)
  double rho;            //
  double span;           // m ((1 + q) + rho m)
  double k;              // 4 z^2 / r^2
  double z_over_r;       //
  double q_mantissa;     // q = q_mantissa 2^-integer
  double left_exponent;  // two_q = 2 q_mantissa 2^left_exponent, before underflow
  double slope_exponent; // (two_q / rho) / (n + two_q)^2 has this exponent
};

EF_HD closed_form closed_form_parts(double z, double lambda, double t) {
  const double size = abs(z) > lambda ? abs(z) : lambda;
  const uint64 power_bits =
      bit_cast<uint64>(clamp(size, smallest_normal, 0x1p1022)) & 0x7ff0000000000000u;
  const double power = bit_cast<double>(power_bits);
  const double inverse = bit_cast<double>(0x7fe0000000000000u - power_bits);
  const double two_z = 2 * (z * inverse);
  const double scaled = lambda * inverse;
  const double root = sqrt(fma(two_z, two_z, scaled * scaled));
  const double r = root == 0 ? 1 : root;

  const double rt = (t * power) * r;
  const double x = rt < 6000 ? rt : 6000;
  const exp_parts e = exp_minus(x);

  const double lift = lambda < smallest_normal ? 54 : 0;
  const double normal = lambda * (lambda < smallest_normal ? 0x1p54 : 1.0);
  const double mantissa =
      bit_cast<double>((bit_cast<uint64>(normal) & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  // An eigenvalue of zero is far below all others, and n becomes 0.
  const double rho_exponent =
      lambda == 0 ? -20000 : (exponent_of(normal) - lift) - exponent_of(power);
  const double rho_mantissa = mantissa / r;
  const double rho = rho_mantissa * power_of_two(rho_exponent > -1022 ? rho_exponent : -1022);

  const double span = e.one_minus_exp * fma(rho, e.one_minus_exp, 1 + e.exp);
  const double shift = -rho_exponent - e.k; // q / rho has this exponent
  const double rise = shift > 0 ? shift : 0;
  const double up = rise < 2044 ? rise : 2044; // two normal factors; the mantissa takes the rest
  const double up1 = round_to_integer(0.5 * up);
  const double down = shift < 0 ? shift : 0;
  const double q_power = power_of_two(down > -1022 ? down : -1022);
  closed_form out;
  out.shrink1 = power_of_two(-up1);
  out.shrink2 = power_of_two(up1 - up);
  out.n_full = rho_mantissa * power_of_two(up - rise > -1000 ? up - rise : -1000) * span;
  out.n = out.n_full * out.shrink1 * out.shrink2;
  out.two_q = down > -1022 ? 2 * fma(q_power, e.em1, q_power) : 0;
  out.x = x;
  out.q = e.exp;
  out.m = e.one_minus_exp;
  out.rho = rho;
  out.span = span;
  out.k = (two_z / r) * (two_z / r);
  out.z_over_r = 0.5 * (two_z / r);
  out.q_mantissa = 1 + e.em1;
  out.left_exponent = down;
  out.slope_exponent = -rho_exponent - (rise - down);
  return out;
}

// Where the plain form below is safe. Zero is an ordinary eigenvalue.
constexpr double plain_least = 0x1p-200, plain_most = 0x1p200;

EF_HD bool is_plain_time(double t) { return t >= plain_least && t <= plain_most; }
EF_HD bool is_plain(double z, double lambda) {
  return (abs(z) <= plain_most) & (lambda <= plain_most) &
         ((lambda >= plain_least) | (lambda == 0));
}

// What all times of a plain coordinate share: r = hypot(2 z, lambda) and 2 r^2.
struct plain_rate {
  double r, twice_squared;
};

// 2^-500 is far below 2 r^2 unless lambda is 0, where it keeps 0 / 0 away.
EF_HD plain_rate plain_rate_of(double z, double lambda) {
  const double two_z = z + z;
  const double squared = fma(two_z, two_z, lambda * lambda);
  return {sqrt(squared), fma(2.0, squared, 0x1p-500)};
}

// exp(-r t) = 2^-x for x = r (t log2_e). Beyond plain_halvings theta is z: 2^-477 is below
// 2^-54 rho for every rho >= 2^-402.
constexpr double log2_e = 0x1.71547652b82fep+0;
constexpr double plain_halvings = 477;

// theta for plain arguments after x <= plain_halvings, with one division. With exp(-r t) = p / w
// and m = g / w, and N and q times (r w)^2: N = lambda g (r (w + p) + lambda g), theta = z N /
// (N + 2 r^2 p w). All of these are normal numbers.
EF_HD double plain_theta_after(double z, double lambda, plain_rate rate, double x) {
  const exp_ratio e = exp2_minus(x);
  const double moved = lambda * e.gone;
  const double n = moved * fma(rate.r, e.whole + e.left, moved);
  return z * (n / fma(e.left * e.whole, rate.twice_squared, n));
}

EF_HD double plain_closed_form_theta(double z, double lambda, plain_rate rate, double t) {
  return plain_theta_after(z, lambda, rate, at_most(rate.r * (t * log2_e), plain_halvings));
}

EF_HD double plain_closed_form_theta(double z, double lambda, double t) {
  return plain_closed_form_theta(z, lambda, plain_rate_of(z, lambda), t);
}

EF_HD double closed_form_theta(double z, const closed_form &c) {
  return ((z * c.shrink1) * (c.n_full / (c.n + c.two_q))) * c.shrink2;
}

// z - theta, relatively accurate until it is 2^-1021 of z, where it becomes 0.
EF_HD double closed_form_residual(double z, const closed_form &c) {
  return z * (c.two_q / (c.n + c.two_q));
}

// d theta / d z = F (1 + (1 - F) G), F = theta / z, G = -z d ln R / dz >= 0 up to rounding.
EF_HD double closed_form_d_z(const closed_form &c) {
  const double total = c.n + c.two_q;
  const double growth = c.m > 0 ? c.x / c.m : 1;
  const double top = fma(2 * growth * c.q, fma(c.rho, c.m, c.q), -(c.rho * c.m));
  const double g = c.k * ((c.x - 1) + top / fma(c.rho, c.m, 1 + c.q));
  return (c.n / total) * fma(c.two_q / total, g, 1.0);
}

// hypot(lambda, 2 theta), the rate of decay, as root 2^exponent: scaled against overflow of the
// squares.
struct closed_form_rate {
  double root;
  double scaled_lambda; // lambda = scaled_lambda 2^exponent
  double exponent;
};

EF_HD closed_form_rate closed_form_rate_at(double theta, double lambda) {
  const double size = abs(theta) > lambda ? abs(theta) : lambda;
  const uint64 power_bits =
      bit_cast<uint64>(clamp(size, smallest_normal, 0x1p1022)) & 0x7ff0000000000000u;
  const double inverse = bit_cast<double>(0x7fe0000000000000u - power_bits);
  const double two_theta = 2 * (theta * inverse), scaled = lambda * inverse;
  return {sqrt(fma(two_theta, two_theta, scaled * scaled)), scaled,
          exponent_of(bit_cast<double>(power_bits))};
}

// a^2 at depth 0: (lambda + hypot(lambda, 2 theta)) / 2.
EF_HD double closed_form_eigenvalue(double theta, double lambda) {
  const closed_form_rate rate = closed_form_rate_at(theta, lambda);
  return (0.5 * (rate.scaled_lambda + rate.root)) * power_of_two(rate.exponent);
}

// Derivatives grow without bound next to a saddle. They stop at the largest number, so that a
// product with 0 is 0.
EF_HD double finite(double x) { return clamp(x, -0x1.fffffffffffffp1023, 0x1.fffffffffffffp1023); }

// d theta / d t = hypot(lambda, 2 theta) (z - theta).
EF_HD double closed_form_d_t(double z, double theta, double lambda, const closed_form &c) {
  const closed_form_rate rate = closed_form_rate_at(theta, lambda);
  const double left = 2 * c.q_mantissa / (c.n + c.two_q);
  return finite(scale_by_power(z * (rate.root * left), rate.exponent + c.left_exponent));
}

// d theta / d lambda = (theta / lambda) (1 - F) G, G = -lambda d ln R / d lambda, with theta and
// lambda divided by hand, as both may be below the smallest number. All terms of G are positive. At
// lambda = 0 it is sinh(2 z t) / 2, and theta still is 0.
EF_HD double closed_form_d_lambda(const closed_form &c) {
  const double total = c.n + c.two_q, one_and_q = 1 + c.q;
  const double factor = fma(c.rho, c.m, one_and_q);
  const double growth = c.m > 0 ? c.x / c.m : 1;
  const double top = fma(c.rho * c.m, one_and_q, fma(c.q, c.q, 1.0));
  const double g = fma(c.k, c.rho * c.m / factor, c.k) + c.rho * c.rho * growth * (top / factor);
  const double value = c.z_over_r * c.span * g * (2 * c.q_mantissa) / (total * total);
  return finite(scale_by_power(value, c.slope_exponent));
}

EF_HD_END
