// SPDX-License-Identifier: BSD-3-Clause
// One vector register with the operations that register-blocked loops need. Elementwise loops need
// none of this: the compiler vectorises them. Whether it keeps a block of accumulators in registers
// is a matter of luck, and of a factor of ten.
#pragma once

#include <eigenflow/hd/config.hpp>

#if defined(__AVX512F__) || defined(__FMA__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace eigenflow::isa::EF_LEVEL_NS {

#if defined(__AVX512F__)

inline constexpr int vector_bytes = 64;
EF_HD __m512 load(const float *p) { return _mm512_loadu_ps(p); }
EF_HD __m512d load(const double *p) { return _mm512_loadu_pd(p); }
EF_HD void store(float *p, __m512 v) { _mm512_storeu_ps(p, v); }
EF_HD void store(double *p, __m512d v) { _mm512_storeu_pd(p, v); }
EF_HD __m512 broadcast(float x) { return _mm512_set1_ps(x); }
EF_HD __m512d broadcast(double x) { return _mm512_set1_pd(x); }
EF_HD __m512 fma(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
EF_HD __m512d fma(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }
EF_HD __m512 add(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
EF_HD __m512d add(__m512d a, __m512d b) { return _mm512_add_pd(a, b); }

#elif defined(__FMA__)

inline constexpr int vector_bytes = 32;
EF_HD __m256 load(const float *p) { return _mm256_loadu_ps(p); }
EF_HD __m256d load(const double *p) { return _mm256_loadu_pd(p); }
EF_HD void store(float *p, __m256 v) { _mm256_storeu_ps(p, v); }
EF_HD void store(double *p, __m256d v) { _mm256_storeu_pd(p, v); }
EF_HD __m256 broadcast(float x) { return _mm256_set1_ps(x); }
EF_HD __m256d broadcast(double x) { return _mm256_set1_pd(x); }
EF_HD __m256 fma(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
EF_HD __m256d fma(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
EF_HD __m256 add(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
EF_HD __m256d add(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }

#elif defined(__aarch64__)

inline constexpr int vector_bytes = 16;
EF_HD float32x4_t load(const float *p) { return vld1q_f32(p); }
EF_HD float64x2_t load(const double *p) { return vld1q_f64(p); }
EF_HD void store(float *p, float32x4_t v) { vst1q_f32(p, v); }
EF_HD void store(double *p, float64x2_t v) { vst1q_f64(p, v); }
EF_HD float32x4_t broadcast(float x) { return vdupq_n_f32(x); }
EF_HD float64x2_t broadcast(double x) { return vdupq_n_f64(x); }
EF_HD float32x4_t fma(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
EF_HD float64x2_t fma(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }
EF_HD float32x4_t add(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
EF_HD float64x2_t add(float64x2_t a, float64x2_t b) { return vaddq_f64(a, b); }

#elif defined(__SSE2__)

inline constexpr int vector_bytes = 16;
EF_HD __m128 load(const float *p) { return _mm_loadu_ps(p); }
EF_HD __m128d load(const double *p) { return _mm_loadu_pd(p); }
EF_HD void store(float *p, __m128 v) { _mm_storeu_ps(p, v); }
EF_HD void store(double *p, __m128d v) { _mm_storeu_pd(p, v); }
EF_HD __m128 broadcast(float x) { return _mm_set1_ps(x); }
EF_HD __m128d broadcast(double x) { return _mm_set1_pd(x); }
EF_HD __m128 add(__m128 a, __m128 b) { return _mm_add_ps(a, b); }
EF_HD __m128d add(__m128d a, __m128d b) { return _mm_add_pd(a, b); }
EF_HD __m128 fma(__m128 a, __m128 b, __m128 c) { return add(_mm_mul_ps(a, b), c); }
EF_HD __m128d fma(__m128d a, __m128d b, __m128d c) { return add(_mm_mul_pd(a, b), c); }

#else

// Without fused multiply-add, and for any compiler.
inline constexpr int vector_bytes = 16;
template <class Real> struct lanes_of {
  static constexpr int n = vector_bytes / static_cast<int>(sizeof(Real));
  Real lane[n];
};
template <class Real> EF_HD lanes_of<Real> load(const Real *p) {
  lanes_of<Real> v;
  for (int i = 0; i < v.n; ++i)
    v.lane[i] = p[i];
  return v;
}
template <class Real> EF_HD void store(Real *p, lanes_of<Real> v) {
  for (int i = 0; i < v.n; ++i)
    p[i] = v.lane[i];
}
template <class Real> EF_HD lanes_of<Real> broadcast(Real x) {
  lanes_of<Real> v;
  for (int i = 0; i < v.n; ++i)
    v.lane[i] = x;
  return v;
}
template <class Real>
EF_HD lanes_of<Real> fma(lanes_of<Real> a, lanes_of<Real> b, lanes_of<Real> c) {
  for (int i = 0; i < c.n; ++i)
    c.lane[i] = hd::fma(a.lane[i], b.lane[i], c.lane[i]);
  return c;
}
template <class Real> EF_HD lanes_of<Real> add(lanes_of<Real> a, lanes_of<Real> b) {
  for (int i = 0; i < a.n; ++i)
    a.lane[i] += b.lane[i];
  return a;
}

#endif

} // namespace eigenflow::isa::EF_LEVEL_NS
