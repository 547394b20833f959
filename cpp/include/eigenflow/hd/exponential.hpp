// SPDX-License-Identifier: BSD-3-Clause
// exp(-x) without branches, in the parts that keep 1 - exp(-x) and tiny values accurate.
#pragma once

#include <eigenflow/hd/config.hpp>

EF_HD_BEGIN

constexpr double smallest_normal = 0x1p-1022;
constexpr double rounding_shift = 0x1.8p52; // x + shift - shift rounds |x| < 2^51 to an integer

EF_HD double round_to_integer(double x) { return (x + rounding_shift) - rounding_shift; }
EF_HD double clamp(double x, double low, double high) {
  const double raised = x > low ? x : low;
  return raised < high ? raised : high;
}

// 2^e for an integer e in [-1022, 1023].
EF_HD double power_of_two(double e) {
  return bit_cast<double>(bit_cast<uint64>(e + (rounding_shift + 1023)) << 52);
}

// floor(log2 x) of a positive normal number.
EF_HD double exponent_of(double x) {
  const uint64 biased = (bit_cast<uint64>(x) >> 52) | 0x4330000000000000u;
  return bit_cast<double>(biased) - (0x1p52 + 1023);
}

// 2^e as two factors, for an integer e of any size; beyond 2^2000 it stays there, which overflows
// or underflows all that it is used for.
struct power_factors {
  double first, second;
};

EF_HD power_factors factors_of_power(double e) {
  const double bounded = clamp(e, -2000, 2000);
  const double half = round_to_integer(0.5 * bounded);
  return {power_of_two(half), power_of_two(bounded - half)};
}

EF_HD double scale_by_power(double x, double e) {
  const power_factors power = factors_of_power(e);
  return x * power.first * power.second;
}

struct exp_parts {
  double k;             // exp(-x) = 2^-k (1 + em1)
  double em1;           // in [-0.3, 0.42]
  double one_minus_exp; // 1 - exp(-x), relatively accurate at every x
  double exp;           // exp(-x) down to 2^-1022, where it stays
};

// 0 <= x < 1e6. Two-step reduction by ln 2 whose leading part has 21 trailing zeros, so that k
// times it is exact with and without fma; Taylor to degree 13 on |w| <= ln(2)/2: under 1 ulp.
EF_HD exp_parts exp_minus(double x) {
  const double k = round_to_integer(x * 0x1.71547652b82fep+0);
  double w = fma(k, 0x1.62e42feep-1, -x);
  w = fma(k, 0x1.a39ef35793c76p-33, w);
  double p = 1.0 / 6227020800.0;
  p = fma(p, w, 1.0 / 479001600.0);
  p = fma(p, w, 1.0 / 39916800.0);
  p = fma(p, w, 1.0 / 3628800.0);
  p = fma(p, w, 1.0 / 362880.0);
  p = fma(p, w, 1.0 / 40320.0);
  p = fma(p, w, 1.0 / 5040.0);
  p = fma(p, w, 1.0 / 720.0);
  p = fma(p, w, 1.0 / 120.0);
  p = fma(p, w, 1.0 / 24.0);
  p = fma(p, w, 1.0 / 6.0);
  p = fma(p, w, 0.5);
  const double em1 = fma(p * w, w, w);
  const double f = power_of_two(-(k < 1022 ? k : 1022));
  return {k, em1, fma(-f, em1, 1 - f), fma(f, em1, f)};
}

// The smaller of two numbers that are not negative, which their bits order as well: compilers have
// no vector minimum of doubles for AVX-512 without fast-math, and compare and blend instead.
EF_HD double at_most(double x, double most) {
#ifdef __AVX512F__
  const int64 a = bit_cast<int64>(x), b = bit_cast<int64>(most);
  return bit_cast<double>(a < b ? a : b);
#else
  return x < most ? x : most;
#endif
}

// 2^-x = left / whole and 1 - 2^-x = gone / whole, for those who divide anyway.
struct exp_ratio {
  double left, gone, whole; // whole is in [2.3, 3.5]
};

// 0 <= x <= 1022. With x = v + k and |v| <= 1/2, both exact, 2^-v = (d - v) / (d + v), where
// d = v coth(v ln(2)/2) is even: degree 5 in v^2, minimax for the error of 2^-v, which is 2^-60.7.
// A third of exp_minus.
EF_HD exp_ratio exp2_minus(double x) {
  const double shifted = (rounding_shift + 1023) - x; // its low bits are those of 1023 - k
  const double k = (rounding_shift + 1023) - shifted;
  const double v = x - k;
  const double u = v * v;
  double d = 0x1.a4dd753de378dp-30;
  d = fma(d, u, -0x1.10f4522e90018p-23);
  d = fma(d, u, 0x1.63144fcda7d46p-17);
  d = fma(d, u, -0x1.e50096de788a3p-11);
  d = fma(d, u, 0x1.d9303fea2f898p-4);
  d = fma(d, u, 0x1.71547652b82fep+1);
  const double f = bit_cast<double>(bit_cast<uint64>(shifted) << 52); // 2^-k
  // Where f = 1 the sums are 0 and 2 v: nothing cancels.
  return {f * (d - v), fma(-f, d, d) + fma(f, v, v), d + v};
}

EF_HD_END
