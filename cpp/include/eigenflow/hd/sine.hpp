// SPDX-License-Identifier: BSD-3-Clause
// One entry of sin(omega U V^T), in half-turns: t = sum_l u_l v_l with u already scaled by
// omega / pi, then sin(pi t).
#pragma once

#include <eigenflow/hd/trig.hpp>

EF_HD_BEGIN

// A sum over the entries of a row goes in blocks of this many, each from zero, then added: host and
// device alike. A panel of so many sines fits the first-level cache.
constexpr int sine_tile_cols = 96;

#if !EF_HAS_FMA
// Dekker's product: the rounding error of a * b. The constant splits a significand in two halves.
template <class Real> EF_HD Real product_error(Real a, Real b, Real product) {
  const Real split = Real(sizeof(Real) == 4 ? 4097.0 : 134217729.0);
  const Real a_big = a * split - (a * split - a), a_small = a - a_big;
  const Real b_big = b * split - (b * split - b), b_small = b - b_big;
  return ((a_big * b_big - product) + a_big * b_small + a_small * b_big) + a_small * b_small;
}
#endif

// a * b less an even integer, rounded once, in [-1, 1]; for |a * b| below 2^24 (float) or 2^53
// (double). Beyond that the product's own rounding error is larger than a turn and is left in.
template <class Real> EF_HD Real product_within_one_turn(Real a, Real b) {
  const Real product = a * b;
  const Real even = Real(2) * rint(product * Real(0.5));
#if EF_HAS_FMA
  return fma(a, b, -even);
#else
  return (product - even) + product_error(a, b, product);
#endif
}

// One more term of a phase. The plain chain rounds with the size of the phase: after k terms the
// error is up to k + 2 half ulps of sum |u_l v_l|.
template <class Real> EF_HD Real add_phase(Real t, Real u, Real v) { return fma(u, v, t); }

// The exact chain drops whole turns term by term, so rounding has the size of the number of terms;
// u_low is what the scaled u lost when it was rounded. Five operations a term instead of one.
template <class Real> EF_HD Real add_phase_exact(Real t, Real u, Real u_low, Real v) {
  return fma(u_low, v, t + product_within_one_turn(u, v));
}

EF_HD_END
