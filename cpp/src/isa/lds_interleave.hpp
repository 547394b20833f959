// SPDX-License-Identifier: BSD-3-Clause
// Eight series or chunks of time side by side: rows of memory to lanes of a tile and back.
#pragma once

#include "lds.hpp"
#include "lds_transpose.hpp"

namespace {

using eigenflow::isa::lds_lanes;
using std::int64_t;

#if defined(__AVX512F__)
int64_t interleave_blocks(const double *const *from, int64_t count, double *tile) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m512d rows[8], columns[8];
    for (int lane = 0; lane < 8; ++lane)
      rows[lane] = _mm512_loadu_pd(from[lane] + i);
    transpose(rows, columns);
    for (int k = 0; k < 8; ++k)
      _mm512_storeu_pd(tile + (i + k) * 8, columns[k]);
  }
  return i;
}

int64_t deinterleave_blocks(const double *tile, int64_t count, double *const *to, bool around) {
  for (int lane = 0; lane < 8; ++lane)
    around = around && reinterpret_cast<std::uintptr_t>(to[lane]) % 64 == 0;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m512d rows[8], columns[8];
    for (int k = 0; k < 8; ++k)
      rows[k] = _mm512_loadu_pd(tile + (i + k) * 8);
    transpose(rows, columns);
    for (int lane = 0; lane < 8; ++lane)
      if (around)
        _mm512_stream_pd(to[lane] + i, columns[lane]);
      else
        _mm512_storeu_pd(to[lane] + i, columns[lane]);
  }
  if (around)
    _mm_sfence();
  return i;
}

#elif defined(__AVX2__)
int64_t interleave_blocks(const double *const *from, int64_t count, double *tile) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int half = 0; half < 8; half += 4) {
      __m256d rows[4], columns[4];
      for (int lane = 0; lane < 4; ++lane)
        rows[lane] = _mm256_loadu_pd(from[half + lane] + i);
      transpose(rows, columns);
      for (int k = 0; k < 4; ++k)
        _mm256_storeu_pd(tile + (i + k) * 8 + half, columns[k]);
    }
  return i;
}

int64_t deinterleave_blocks(const double *tile, int64_t count, double *const *to, bool around) {
  for (int lane = 0; lane < 8; ++lane)
    around = around && reinterpret_cast<std::uintptr_t>(to[lane]) % 32 == 0;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int half = 0; half < 8; half += 4) {
      __m256d rows[4], columns[4];
      for (int k = 0; k < 4; ++k)
        rows[k] = _mm256_loadu_pd(tile + (i + k) * 8 + half);
      transpose(rows, columns);
      for (int lane = 0; lane < 4; ++lane)
        if (around)
          _mm256_stream_pd(to[half + lane] + i, columns[lane]);
        else
          _mm256_storeu_pd(to[half + lane] + i, columns[lane]);
    }
  if (around)
    _mm_sfence();
  return i;
}

#else
int64_t interleave_blocks(const double *const *, int64_t, double *) { return 0; }
int64_t deinterleave_blocks(const double *, int64_t, double *const *, bool) { return 0; }
#endif

[[maybe_unused]] void interleave(const double *const *from, int64_t count, double *tile) {
  for (int64_t i = interleave_blocks(from, count, tile); i < count; ++i)
    for (int lane = 0; lane < lds_lanes; ++lane)
      tile[i * lds_lanes + lane] = from[lane][i];
}

[[maybe_unused]] void deinterleave(const double *tile, int64_t count, double *const *to,
                                   bool around) {
  for (int64_t i = deinterleave_blocks(tile, count, to, around); i < count; ++i)
    for (int lane = 0; lane < lds_lanes; ++lane)
      to[lane][i] = tile[i * lds_lanes + lane];
}

} // namespace
