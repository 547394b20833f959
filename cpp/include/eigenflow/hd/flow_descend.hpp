// SPDX-License-Identifier: BSD-3-Clause
// Gradient descent of one coordinate, the update that the flow is the limit of.
#pragma once

#include <eigenflow/hd/elementary.hpp>
#include <eigenflow/hd/flow_march.hpp>

EF_HD_BEGIN

struct descent_state {
  double a, b, beta; // b is 1 at depth 0
};

EF_HD descent_state descent_start(double lambda, double b0) { return {sqrt(lambda), b0, 0}; }

// All factors move at once, by gradients at their old values; c as in the march.
EF_HD descent_state descent_step(descent_state s, double z, int depth, double c, double step) {
  const double one_less = depth > 1 ? power_of(s.b, depth - 1) : 1;
  const double power = depth > 0 ? one_less * s.b : 1;
  const double push = step * (z - s.a * power * s.beta);
  descent_state next;
  next.a = s.a + push * (power * s.beta);
  next.b = depth > 0 ? s.b + push * (c * (s.a * one_less * s.beta)) : s.b;
  next.beta = s.beta + push * (s.a * power);
  return next;
}

struct descent_products {
  double theta, gain; // a b^depth beta, a b^depth
};

EF_HD descent_products descent_products_of(descent_state s, int depth) {
  const double gain = s.a * power_of(s.b, depth);
  return {gain * s.beta, gain};
}

// The first step after which this does not hold is where a descent has diverged.
EF_HD bool descent_is_finite(descent_state s, int depth) {
  return is_finite(s.a) && is_finite(s.b) && is_finite(descent_products_of(s, depth).theta);
}

EF_HD_END
