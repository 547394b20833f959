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

// Minimax polynomials of sin(pi r) / r in r^2 on |r| <= 1/2, highest power first; relative errors
// 5.4e-9 and 2.6e-19, which the rounding of the leading coefficient exceeds.
template <class Real> struct sinpi_series;

template <> struct sinpi_series<float> {
  static constexpr int size = 5;
  EF_HD static constexpr float at(int i) {
    constexpr float c[size] = {0.077560391389719789f, -0.59824212930563712f, 2.5500697269350596687f,
                               -5.1677096848420053554f, 3.1415926368961181998f};
    return c[i];
  }
};

template <> struct sinpi_series<double> {
  static constexpr int size = 9;
  EF_HD static constexpr double at(int i) {
    constexpr double c[size] = {
        7.6947273283067904961e-7,  -2.1903185420805376773e-5, 4.6629968877317355530e-4,
        -7.3704304787624609946e-3, 8.2145886569892609519e-2,  -5.9926452931873821630e-1,
        2.5501640398772939382,     -5.1677127800499695287,    3.1415926535897932377};
    return c[i];
  }
};

template <class Real> EF_HD Real sinpi_reduced(Real r) {
  using series = sinpi_series<Real>;
  const Real s = r * r;
  Real p = fma(s, series::at(0), series::at(1));
  for (int i = 2; i < series::size; ++i)
    p = fma(s, p, series::at(i));
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
