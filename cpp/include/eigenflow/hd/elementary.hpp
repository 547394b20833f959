// SPDX-License-Identifier: BSD-3-Clause
// The maths library's functions, under one name for host and device. They are calls: a loop with
// them does not vectorise, and host and device may differ in the last digit.
#pragma once

#include <eigenflow/hd/config.hpp>

EF_HD_BEGIN

EF_HD double infinity() { return bit_cast<double>(uint64(0x7ff0000000000000)); }
EF_HD bool is_finite(double x) { return abs(x) < infinity(); }

EF_HD double exp(double x) {
#if defined(__CUDA_ARCH__)
  return ::exp(x);
#else
  return __builtin_exp(x);
#endif
}

EF_HD double log(double x) {
#if defined(__CUDA_ARCH__)
  return ::log(x);
#else
  return __builtin_log(x);
#endif
}

EF_HD double log1p(double x) {
#if defined(__CUDA_ARCH__)
  return ::log1p(x);
#else
  return __builtin_log1p(x);
#endif
}

EF_HD double sinh(double x) {
#if defined(__CUDA_ARCH__)
  return ::sinh(x);
#else
  return __builtin_sinh(x);
#endif
}

EF_HD double cosh(double x) {
#if defined(__CUDA_ARCH__)
  return ::cosh(x);
#else
  return __builtin_cosh(x);
#endif
}

EF_HD double asinh(double x) {
#if defined(__CUDA_ARCH__)
  return ::asinh(x);
#else
  return __builtin_asinh(x);
#endif
}

EF_HD double hypot(double x, double y) {
#if defined(__CUDA_ARCH__)
  return ::hypot(x, y);
#else
  return __builtin_hypot(x, y);
#endif
}

EF_HD_END
