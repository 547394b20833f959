// SPDX-License-Identifier: BSD-3-Clause
// Against the long double functions of libm, whose 64 bits make them exact enough to count ulp.
#include "check.hpp"

#include <eigenflow/hd/trig.hpp>

#include <algorithm>
#include <limits>

namespace hd = eigenflow::hd;

namespace {

constexpr long double pi = 3.14159265358979323846264338327950288L;

// sin(pi (t + shift)), reduced exactly to |r| <= 1/2 first; shift is 0 (sine) or 1/2 (cosine).
long double exact(long double t, bool cosine) {
  t = std::fabs(std::remainder(t, 2.0L)); // the cosine is even, the sine's sign is put back
  return cosine ? std::sin(pi * (0.5L - t)) : std::sin(pi * (t > 0.5L ? 1 - t : t));
}

long double exact_sine(long double t) {
  const long double size = exact(t, false);
  return std::remainder(t, 2.0L) < 0 ? -size : size;
}

template <class Real> double ulp_error(Real got, long double want) {
  const Real near = static_cast<Real>(std::fabs(want));
  const Real ulp = std::nextafter(near, std::numeric_limits<Real>::infinity()) - near;
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) /
                             static_cast<long double>(ulp));
}

// Evenly spread, geometric towards zero, and close to the multiples of 1/2.
template <class Real> std::vector<Real> angles() {
  std::vector<Real> list;
  for (int i = 0; i < 40000; ++i) {
    const Real x = static_cast<Real>(0.6180339887498949 * i);
    const Real unit = x - std::floor(x);
    list.push_back(2 * unit - 1);
    list.push_back(std::ldexp(unit, -(i % 60)));
    list.push_back(static_cast<Real>(i % 200 - 100) / 2 + (unit - Real(0.5)) * Real(1e-3));
    list.push_back((2 * unit - 1) * Real(1e6));
  }
  return list;
}

template <class Real> void check_ulp() {
  double sine = 0, cosine = 0;
  for (const Real t : angles<Real>()) {
    const auto both = hd::sincospi(t);
    CHECK(both.sine == hd::sinpi(t) && both.cosine == hd::cospi(t));
    sine = std::max(sine, ulp_error(both.sine, exact_sine(t)));
    cosine = std::max(cosine, ulp_error(both.cosine, exact(t, true)));
  }
  CHECK(sine <= 4);
  CHECK(cosine <= 4);
}

template <class Real> void check_special() {
  using limits = std::numeric_limits<Real>;
  const Real even = std::ldexp(Real(1), limits::digits), odd = even - 1;
  CHECK(hd::sinpi(Real(0)) == 0 && hd::cospi(Real(0)) == 1);
  CHECK(hd::sinpi(Real(0.5)) == 1 && hd::sinpi(Real(-0.5)) == -1 && hd::sinpi(Real(1.5)) == -1);
  CHECK(hd::cospi(Real(0.5)) == 0 && hd::cospi(Real(-1)) == -1 && hd::cospi(Real(2)) == 1);
  CHECK(hd::sinpi(odd) == 0 && hd::cospi(odd) == -1);
  CHECK(hd::sinpi(even) == 0 && hd::cospi(even) == 1);
  CHECK(hd::sinpi(limits::max()) == 0 && hd::cospi(-limits::max()) == 1);
  CHECK(hd::sinpi(std::ldexp(odd, -2)) == hd::sinpi(Real(std::ldexp(odd, -2) - even / 8)));
  CHECK(std::isnan(hd::sinpi(limits::infinity())) && std::isnan(hd::cospi(-limits::infinity())));
  CHECK(std::isnan(hd::sinpi(limits::quiet_NaN())) && std::isnan(hd::cospi(limits::quiet_NaN())));
  const Real tiny = limits::min() * 4;
  CHECK_CLOSE(hd::sinpi(tiny) / tiny, static_cast<double>(pi), 2 * limits::epsilon());
}

} // namespace

TEST(float_sine_and_cosine_are_within_four_ulp) { check_ulp<float>(); }
TEST(double_sine_and_cosine_are_within_four_ulp) { check_ulp<double>(); }
TEST(special_angles_are_exact) {
  check_special<float>();
  check_special<double>();
}
TEST(rint_is_the_nearest_even_integer) {
  for (const double x : {0.5, 1.5, -2.5, 0.49999999999999994, 1e15 + 0.5, -3e18, 0.0})
    CHECK(hd::rint(x) == std::nearbyint(x));
  for (const float x : {0.5f, 1.5f, -2.5f, 4194303.5f, 8388607.0f, -3e18f, 0.0f})
    CHECK(hd::rint(x) == std::nearbyint(x));
}
