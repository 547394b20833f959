// SPDX-License-Identifier: BSD-3-Clause
// One vector register with the operations that register-blocked loops need. Elementwise loops need
// none of this: the compiler vectorises them. Whether it keeps a block of accumulators in registers
// is a matter of luck, and of a factor of ten.
//
// `negate_if_odd(a, n)` is a (-1)^n for an integer-valued n of any size; NaN stays NaN.
#pragma once

#include <eigenflow/hd/config.hpp>

#if defined(__AVX512F__) || defined(__FMA__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace eigenflow::isa::EF_LEVEL_NS {

EF_HD void prefetch([[maybe_unused]] const void *p) {
#if EF_GNU_EXTENSIONS
  __builtin_prefetch(p);
#endif
}

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
EF_HD __m512 sub(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
EF_HD __m512d sub(__m512d a, __m512d b) { return _mm512_sub_pd(a, b); }
EF_HD __m512 mul(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
EF_HD __m512d mul(__m512d a, __m512d b) { return _mm512_mul_pd(a, b); }
EF_HD __m512 abs(__m512 a) { return _mm512_abs_ps(a); }
EF_HD __m512d abs(__m512d a) { return _mm512_abs_pd(a); }
EF_HD __m512 rint(__m512 a) { return _mm512_roundscale_ps(a, 8); }
EF_HD __m512d rint(__m512d a) { return _mm512_roundscale_pd(a, 8); }
EF_HD __m512 negate_if_odd(__m512 a, __m512 n) {
  const __m512i sign = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 31);
  return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), sign));
}
EF_HD __m512d negate_if_odd(__m512d a, __m512d n) {
  const __m512i sign = _mm512_slli_epi64(_mm512_cvtpd_epi64(n), 63);
  return _mm512_castsi512_pd(_mm512_xor_si512(_mm512_castpd_si512(a), sign));
}

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
EF_HD __m256 sub(__m256 a, __m256 b) { return _mm256_sub_ps(a, b); }
EF_HD __m256d sub(__m256d a, __m256d b) { return _mm256_sub_pd(a, b); }
EF_HD __m256 mul(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
EF_HD __m256d mul(__m256d a, __m256d b) { return _mm256_mul_pd(a, b); }
EF_HD __m256 abs(__m256 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
EF_HD __m256d abs(__m256d a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a); }
EF_HD __m256 rint(__m256 a) { return _mm256_round_ps(a, 8); }
EF_HD __m256d rint(__m256d a) { return _mm256_round_pd(a, 8); }
EF_HD __m256 negate_if_odd(__m256 a, __m256 n) {
  const __m256i sign = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 31);
  return _mm256_xor_ps(a, _mm256_castsi256_ps(sign));
}
EF_HD __m256d negate_if_odd(__m256d a, __m256d n) {
  const __m256d half = _mm256_round_pd(mul(n, _mm256_set1_pd(0.5)), 8);
  const __m256d odd = _mm256_cmp_pd(add(half, half), n, _CMP_NEQ_UQ);
  return _mm256_xor_pd(a, _mm256_and_pd(odd, _mm256_set1_pd(-0.0)));
}

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
EF_HD float32x4_t sub(float32x4_t a, float32x4_t b) { return vsubq_f32(a, b); }
EF_HD float64x2_t sub(float64x2_t a, float64x2_t b) { return vsubq_f64(a, b); }
EF_HD float32x4_t mul(float32x4_t a, float32x4_t b) { return vmulq_f32(a, b); }
EF_HD float64x2_t mul(float64x2_t a, float64x2_t b) { return vmulq_f64(a, b); }
EF_HD float32x4_t abs(float32x4_t a) { return vabsq_f32(a); }
EF_HD float64x2_t abs(float64x2_t a) { return vabsq_f64(a); }
EF_HD float32x4_t rint(float32x4_t a) { return vrndnq_f32(a); }
EF_HD float64x2_t rint(float64x2_t a) { return vrndnq_f64(a); }
EF_HD float32x4_t negate_if_odd(float32x4_t a, float32x4_t n) {
  const uint32x4_t sign = vshlq_n_u32(vreinterpretq_u32_s32(vcvtq_s32_f32(n)), 31);
  return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a), sign));
}
EF_HD float64x2_t negate_if_odd(float64x2_t a, float64x2_t n) {
  const uint64x2_t sign = vshlq_n_u64(vreinterpretq_u64_s64(vcvtq_s64_f64(n)), 63);
  return vreinterpretq_f64_u64(veorq_u64(vreinterpretq_u64_f64(a), sign));
}

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
EF_HD __m128 sub(__m128 a, __m128 b) { return _mm_sub_ps(a, b); }
EF_HD __m128d sub(__m128d a, __m128d b) { return _mm_sub_pd(a, b); }
EF_HD __m128 mul(__m128 a, __m128 b) { return _mm_mul_ps(a, b); }
EF_HD __m128d mul(__m128d a, __m128d b) { return _mm_mul_pd(a, b); }
EF_HD __m128 abs(__m128 a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
EF_HD __m128d abs(__m128d a) { return _mm_andnot_pd(_mm_set1_pd(-0.0), a); }
// As hd::rint without the instruction: the sum with 2^23 or 2^52 rounds |a|.
EF_HD __m128 rint(__m128 a) {
  const __m128 big = _mm_set1_ps(8388608.0f), size = abs(a);
  const __m128 rounded = sub(add(size, big), big), small = _mm_cmplt_ps(size, big);
  const __m128 result = _mm_or_ps(_mm_and_ps(small, rounded), _mm_andnot_ps(small, size));
  return _mm_or_ps(result, _mm_and_ps(a, _mm_set1_ps(-0.0f)));
}
EF_HD __m128d rint(__m128d a) {
  const __m128d big = _mm_set1_pd(4503599627370496.0), size = abs(a);
  const __m128d rounded = sub(add(size, big), big), small = _mm_cmplt_pd(size, big);
  const __m128d result = _mm_or_pd(_mm_and_pd(small, rounded), _mm_andnot_pd(small, size));
  return _mm_or_pd(result, _mm_and_pd(a, _mm_set1_pd(-0.0)));
}
EF_HD __m128 negate_if_odd(__m128 a, __m128 n) {
  const __m128i sign = _mm_slli_epi32(_mm_cvtps_epi32(n), 31);
  return _mm_xor_ps(a, _mm_castsi128_ps(sign));
}
EF_HD __m128d negate_if_odd(__m128d a, __m128d n) {
  const __m128d half = rint(mul(n, _mm_set1_pd(0.5)));
  const __m128d odd = _mm_cmpneq_pd(add(half, half), n);
  return _mm_xor_pd(a, _mm_and_pd(odd, _mm_set1_pd(-0.0)));
}
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
template <class Real> EF_HD lanes_of<Real> sub(lanes_of<Real> a, lanes_of<Real> b) {
  for (int i = 0; i < a.n; ++i)
    a.lane[i] -= b.lane[i];
  return a;
}
template <class Real> EF_HD lanes_of<Real> mul(lanes_of<Real> a, lanes_of<Real> b) {
  for (int i = 0; i < a.n; ++i)
    a.lane[i] *= b.lane[i];
  return a;
}
template <class Real> EF_HD lanes_of<Real> abs(lanes_of<Real> a) {
  for (int i = 0; i < a.n; ++i)
    a.lane[i] = hd::abs(a.lane[i]);
  return a;
}
template <class Real> EF_HD lanes_of<Real> rint(lanes_of<Real> a) {
  for (int i = 0; i < a.n; ++i)
    a.lane[i] = hd::rint(a.lane[i]);
  return a;
}
template <class Real> EF_HD lanes_of<Real> negate_if_odd(lanes_of<Real> a, lanes_of<Real> n) {
  for (int i = 0; i < a.n; ++i)
    if (n.lane[i] != Real(2) * hd::rint(n.lane[i] * Real(0.5)))
      a.lane[i] = -a.lane[i];
  return a;
}

#endif

} // namespace eigenflow::isa::EF_LEVEL_NS
