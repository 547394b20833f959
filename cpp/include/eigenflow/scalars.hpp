// SPDX-License-Identifier: BSD-3-Clause
// float, double and their complex types, seen alike by routines that take all four.
#pragma once

#include <complex>

namespace eigenflow {

namespace detail {
template <class T> struct scalar {
  using real = T;
  using wide = double;
  static constexpr bool is_complex = false;
};
template <class R> struct scalar<std::complex<R>> {
  using real = R;
  using wide = std::complex<double>;
  static constexpr bool is_complex = true;
};
} // namespace detail

template <class T> using real_of = typename detail::scalar<T>::real;
// The same kind of number in double precision.
template <class T> using wide_of = typename detail::scalar<T>::wide;
template <class T> inline constexpr bool is_complex = detail::scalar<T>::is_complex;

template <class T> T conjugate(T x) {
  if constexpr (is_complex<T>)
    return std::conj(x);
  else
    return x;
}

// |x|^2 in double precision.
template <class T> double squared(T x) {
  if constexpr (is_complex<T>) {
    const double re = static_cast<double>(x.real()), im = static_cast<double>(x.imag());
    return re * re + im * im;
  } else {
    return static_cast<double>(x) * static_cast<double>(x);
  }
}

} // namespace eigenflow
