// SPDX-License-Identifier: BSD-3-Clause
// What the hd headers share: maths written once for the host compilers, nvcc and NVRTC, so no
// standard header appears here, but for Microsoft's compiler. The inline namespace keeps the copies
// that are compiled for different instruction sets apart; without it the linker would keep one
// copy, and old CPUs would stop on it.
#pragma once

#ifndef EF_LEVEL_NS
#define EF_LEVEL_NS generic
#endif
#define EF_HD_BEGIN                                                                                \
  namespace eigenflow {                                                                            \
  namespace hd {                                                                                   \
  inline namespace EF_LEVEL_NS {
#define EF_HD_END                                                                                  \
  }                                                                                                \
  }                                                                                                \
  }

#ifdef __CUDACC__
#define EF_HD __host__ __device__ __forceinline__
#elif defined(__GNUC__) || defined(__clang__)
#define EF_HD inline __attribute__((always_inline))
#else
#define EF_HD inline
#endif

// Vector types and asm: GCC's, and Clang's on any system (clang-cl does not define __GNUC__).
#if defined(__GNUC__) || defined(__clang__)
#define EF_GNU_EXTENSIONS 1
#else
#define EF_GNU_EXTENSIONS 0
#endif

// The maths library's function of that name, as an instruction where there is one.
#if defined(__CUDA_ARCH__)
#define EF_MATH(name) ::name
#elif EF_GNU_EXTENSIONS
#define EF_MATH(name) __builtin_##name
#else
#include <cmath>
#define EF_MATH(name) std::name
#endif

#if defined(__CUDA_ARCH__) || defined(__FMA__) || defined(__aarch64__)
#define EF_HAS_FMA 1
#else
#define EF_HAS_FMA 0
#endif
#if defined(__CUDA_ARCH__) || defined(__SSE4_1__) || defined(__aarch64__)
#define EF_HAS_RINT 1
#else
#define EF_HAS_RINT 0
#endif

// Before a loop whose copies would only cost the device's compiler time and its instruction cache.
#ifdef __CUDA_ARCH__
#define EF_KEEP_LOOP _Pragma("unroll 1")
#else
#define EF_KEEP_LOOP
#endif

EF_HD_BEGIN

using int32 = int;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;

static_assert(sizeof(uint32) == 4 && sizeof(uint64) == 8, "fixed widths");

// Fused where the target has it; the x86-64 baseline does not, and libm's emulation costs 400 ns.
EF_HD double fma(double a, double b, double c) {
#if EF_HAS_FMA
  return EF_MATH(fma)(a, b, c);
#else
  return a * b + c;
#endif
}

EF_HD float fma(float a, float b, float c) {
#if EF_HAS_FMA
  return EF_MATH(fmaf)(a, b, c);
#else
  return a * b + c;
#endif
}

EF_HD double sqrt(double x) { return EF_MATH(sqrt)(x); }

EF_HD float sqrt(float x) { return EF_MATH(sqrtf)(x); }

EF_HD double abs(double x) { return EF_MATH(fabs)(x); }

EF_HD float abs(float x) { return EF_MATH(fabsf)(x); }

// The nearest integer, ties to even, for any x. Without the instruction (the x86-64 baseline) the
// sum with 2^52 or 2^23 rounds |x|: exact below that constant, and larger values are integers.
EF_HD double rint(double x) {
#if EF_HAS_RINT
  return EF_MATH(rint)(x);
#else
  const double big = 4503599627370496.0, a = EF_MATH(fabs)(x), rounded = (a + big) - big;
  return EF_MATH(copysign)(a < big ? rounded : a, x);
#endif
}

EF_HD float rint(float x) {
#if EF_HAS_RINT
  return EF_MATH(rintf)(x);
#else
  const float big = 8388608.0f, a = EF_MATH(fabsf)(x), rounded = (a + big) - big;
  return EF_MATH(copysignf)(a < big ? rounded : a, x);
#endif
}

EF_HD double copysign(double size, double sign) { return EF_MATH(copysign)(size, sign); }

EF_HD float copysign(float size, float sign) { return EF_MATH(copysignf)(size, sign); }

// Bit copies. NVRTC has no <bit>; the union form is defined behaviour in GCC, Clang and nvcc.
template <class To, class From> EF_HD To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "equal sizes");
  union {
    From from_;
    To to_;
  } bits{from};
  return bits.to_;
}

EF_HD_END
