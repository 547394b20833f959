// SPDX-License-Identifier: BSD-3-Clause
// Closed forms of the flow at depth D >= 1 where one length is far below the others. They agree
// with the march to round-off where they are used, and hold where its lengths would underflow.
#pragma once

#include <eigenflow/hd/flow.hpp>
#include <eigenflow/hd/flow_march.hpp>

EF_HD_BEGIN

// All that can be asked of one coordinate at one time.
struct flow_point {
  double theta, residual, beta, eigenvalue;
  double d_z, d_lambda, d_b0, d_t;
};

// b0^D, kept away from the ends of the range so that products with it are never NaN.
EF_HD double frozen_power(double b0, int depth) {
  return clamp(power_of(b0, depth), 1e-300, 1e300);
}

// b stays at b0, w = b0^D: theta' = w sqrt((w lambda)^2 + 4 theta^2) (z - theta), which is depth 0
// with eigenvalue w lambda and time w t.
EF_HD flow_point frozen_point(double z, double lambda, double b0, double t, int depth) {
  const double w = frozen_power(b0, depth), scaled = finite(w * lambda);
  const closed_form c = closed_form_parts(z, scaled, w * t);
  flow_point p;
  p.theta = closed_form_theta(z, c);
  p.residual = closed_form_residual(z, c);
  const double a2 = closed_form_eigenvalue(p.theta, scaled); // w a^2
  p.beta = a2 > 0 ? p.theta / (sqrt(a2) * sqrt(w)) : 0;
  p.eigenvalue = w * a2;
  p.d_z = closed_form_d_z(c);
  const double d_scaled = closed_form_d_lambda(c), d_t = closed_form_d_t(z, p.theta, scaled, c);
  p.d_lambda = finite(w * d_scaled);
  p.d_t = finite(w * d_t);
  const double of_time = d_t == 0 ? 0 : (w * t) * d_t; // the time may be infinite
  p.d_b0 = finite(depth * fma(scaled, d_scaled, of_time) / b0);
  return p;
}

EF_HD double frozen_eigenvalue(double theta, double lambda, double b0, int depth) {
  const double w = frozen_power(b0, depth);
  return w * closed_form_eigenvalue(theta, finite(w * lambda));
}

// The start of the flow from a tiny eigenvalue, while theta is far below z and beta below b0:
// beta = sqrt(lambda) sinh phi and a = sqrt(lambda) cosh phi with phi = b0^D |z| t.
EF_HD flow_point early_point(double z, double lambda, double b0, double t, double phi, int depth) {
  const double w = power_of(b0, depth), root = sqrt(lambda);
  const exp_parts e = exp_minus(phi < 1500 ? phi : 1500);
  const double scale = 0.5 / (1 + e.em1);
  const double sinh_phi = scale_by_power(e.one_minus_exp * (1 + e.exp) * scale, e.k);
  const double cosh_phi = scale_by_power(fma(e.exp, e.exp, 1.0) * scale, e.k);
  const double g = w * (root * cosh_phi), size = root * sinh_phi;
  const double slope = finite(fma(g, g, (w * size) * (w * size))); // d theta / d t over z
  flow_point p;
  p.theta = copysign(size * g, z);
  p.residual = z;
  p.beta = copysign(size, z);
  p.eigenvalue = g * g;
  p.d_z = finite(slope * t);
  p.d_lambda = copysign(finite(sinh_phi * (w * cosh_phi)), z);
  p.d_b0 = finite(depth * fma(z, p.d_z, p.theta) / b0);
  p.d_t = finite(slope * z);
  return p;
}

// d theta / d lambda at lambda = 0, the limit of theta / lambda = b0^D sinh(2 phi) / 2. The largest
// number stands for more.
EF_HD double saddle_slope(double z, double b0, double t, int depth) {
  const double w = power_of(b0, depth);
  const double grown = z == 0 || w == 0 ? 0 : 2 * w * abs(z) * t;
  const exp_parts e = exp_minus(grown < 2770 ? grown : 2770);
  const double sinh_part = e.one_minus_exp * (1 + e.exp) / (4 * (1 + e.em1));
  const double half = round_to_integer(0.5 * e.k);
  return copysign(finite(scale_by_power(scale_by_power(w * sinh_part, half), e.k - half)), z);
}

EF_HD_END
