// SPDX-License-Identifier: BSD-3-Clause
// Squares of numbers in vector registers, turned; and the rows that eight lanes hold between them.
#pragma once

#include "vectors.hpp"

namespace {

#if defined(__AVX512F__)
// Rows become columns: three rounds of exchanges, of neighbours, pairs and fours.
EF_HD void transpose(const __m512d (&r)[8], __m512d (&out)[8]) {
  __m512d t[8], u[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
  }
  for (int half = 0; half < 8; half += 4)
    for (int i = 0; i < 2; ++i) {
      u[half + i] = _mm512_shuffle_f64x2(t[half + i], t[half + 2 + i], 0x88);
      u[half + 2 + i] = _mm512_shuffle_f64x2(t[half + i], t[half + 2 + i], 0xdd);
    }
  for (int i = 0; i < 4; ++i) {
    out[i] = _mm512_shuffle_f64x2(u[i], u[i + 4], 0x88);
    out[i + 4] = _mm512_shuffle_f64x2(u[i], u[i + 4], 0xdd);
  }
}

// Rows of four numbers, one a lane, from a vector for each number.
struct lane_rows {
  __m512d at[4]; // of lanes 0 and 2, 4 and 6, 1 and 3, 5 and 7
  explicit lane_rows(const __m512d (&r)[4]) {
    const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    for (int odd = 0; odd < 2; ++odd) {
      const __m512d a = odd ? _mm512_unpackhi_pd(r[0], r[1]) : _mm512_unpacklo_pd(r[0], r[1]);
      const __m512d b = odd ? _mm512_unpackhi_pd(r[2], r[3]) : _mm512_unpacklo_pd(r[2], r[3]);
      at[2 * odd] = _mm512_permutex2var_pd(a, low, b);
      at[2 * odd + 1] = _mm512_permutex2var_pd(a, high, b);
    }
  }
  __m256d of(int lane) const {
    const __m512d both = at[lane % 2 * 2 + lane / 4];
    return lane / 2 % 2 == 0 ? _mm512_castpd512_pd256(both) : _mm512_extractf64x4_pd(both, 1);
  }
};
#elif defined(__AVX2__)
EF_HD void transpose(const __m256d (&r)[4], __m256d (&out)[4]) {
  const __m256d a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
  const __m256d c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
  out[0] = _mm256_permute2f128_pd(a, c, 0x20);
  out[1] = _mm256_permute2f128_pd(b, d, 0x20);
  out[2] = _mm256_permute2f128_pd(a, c, 0x31);
  out[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

struct lane_rows {
  __m256d at[4];
  explicit lane_rows(const __m256d (&r)[4]) { transpose(r, at); }
  __m256d of(int lane) const { return at[lane]; }
};
#endif

} // namespace
