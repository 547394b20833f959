// SPDX-License-Identifier: BSD-3-Clause
// Sine and cosine of angles in half-turns: sinpi(t) = sin(pi t). In this unit the range reduction
// is a subtraction of integers, which floating point does exactly for every finite t, so there is
// no slow path and no table. Branch-free: GCC 12 and Clang vectorise a loop over it at every level.
//
// Bounds, tested against mpmath: sine and cosine, float and double, within 3 ulp with fused
// multiply-add and 4 without, also next to the zeros. An integer t gives a zero of either sign, NaN
// and infinity give NaN. Cost with fused multiply-add: 3 instructions to reduce, then 11 (float) or
// 15 (double) for the sine and 8 or 12 for the cosine.
#pragma once

#include <eigenflow/hd/config.hpp>

EF_HD_BEGIN

// Minimax polynomials of sin(pi r) / r in r^2 on |r| <= 1/2; relative errors 5.4e-9 and 2.6e-19,
// which the rounding of the leading coefficient exceeds.
EF_HD float sinpi_reduced(float r) {
  const float s = r * r;
  float p = fma(s, 0.077560391389719789f, -0.59824212930563712f);
  p = fma(s, p, 2.5500697269350596687f);
  p = fma(s, p, -5.1677096848420053554f);
  p = fma(s, p, 3.1415926368961181998f);
  return p * r;
}

EF_HD double sinpi_reduced(double r) {
  const double s = r * r;
  double p = fma(s, 7.6947273283067904961e-7, -2.1903185420805376773e-5);
  p = fma(s, p, 4.6629968877317355530e-4);
  p = fma(s, p, -7.3704304787624609946e-3);
  p = fma(s, p, 8.2145886569892609519e-2);
  p = fma(s, p, -5.9926452931873821630e-1);
  p = fma(s, p, 2.5501640398772939382);
  p = fma(s, p, -5.1677127800499695287);
  p = fma(s, p, 3.1415926535897932377);
  return p * r;
}

// t less its nearest even integer: in [-1, 1], exact for every finite t.
template <class Real> EF_HD Real within_one_turn(Real t) {
  return fma(Real(-2), rint(t * Real(0.5)), t);
}

// For |u| <= 1: with n the nearest integer, sin(pi u) = (-1)^n sin(pi (u - n)), and n is -1, 0
// or 1.
template <class Real> EF_HD Real sinpi_within_one_turn(Real u) {
  const Real n = rint(u);
  return sinpi_reduced((u - n) * fma(Real(-2) * n, n, Real(1)));
}

// cos(pi u) = sin(pi (1/2 - |u|)); the difference is exact where the cosine is small.
template <class Real> EF_HD Real cospi_within_one_turn(Real u) {
  return sinpi_reduced(Real(0.5) - abs(u));
}

template <class Real> EF_HD Real sinpi(Real t) { return sinpi_within_one_turn(within_one_turn(t)); }
template <class Real> EF_HD Real cospi(Real t) { return cospi_within_one_turn(within_one_turn(t)); }

template <class Real> struct sine_cosine {
  Real sine, cosine;
};

template <class Real> EF_HD sine_cosine<Real> sincospi(Real t) {
  const Real u = within_one_turn(t);
  return {sinpi_within_one_turn(u), cospi_within_one_turn(u)};
}

EF_HD_END
