// SPDX-License-Identifier: BSD-3-Clause
#include "svd.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

constexpr int lanes = 16;

template <class T>
double sum_squares(const T *x, std::int64_t n, std::int64_t stride, double scale) {
  double partial[lanes] = {};
  std::int64_t i = 0;
  if (stride == 1) {
    for (; i + lanes <= n; i += lanes)
      for (int lane = 0; lane < lanes; ++lane) {
        const double value = scale * static_cast<double>(x[i + lane]);
        partial[lane] = eigenflow::hd::fma(value, value, partial[lane]);
      }
  }
  for (; i < n; ++i) {
    const double value = scale * static_cast<double>(x[i * stride]);
    partial[i % lanes] = eigenflow::hd::fma(value, value, partial[i % lanes]);
  }
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane)
      partial[lane] += partial[lane + half];
  return partial[0];
}

void widen(const float *from, std::int64_t n, double scale, double *to) {
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = scale * static_cast<double>(from[i]);
}

// Sylvester: as many as there are negative pivots of L D L^T. A pivot of 0 makes the next one
// infinite, and the one after that right again: nothing is 0 / 0 (Demmel and Li 1994). Signs are
// added up as numbers: that is what compilers vectorise. The divisions take all of the time.
void count_below(const double *diagonal, const double *squares, std::int64_t n,
                 const double *shifts, std::int64_t *counts) {
  constexpr int width = eigenflow::isa::shifts_at_once;
  double shift[width], pivot[width], signs[width];
  for (int lane = 0; lane < width; ++lane) {
    shift[lane] = shifts[lane];
    pivot[lane] = diagonal[0] - shift[lane];
    signs[lane] = eigenflow::hd::copysign(1.0, pivot[lane]);
  }
  for (std::int64_t i = 1; i < n; ++i)
    for (int lane = 0; lane < width; ++lane) {
      pivot[lane] = diagonal[i] - shift[lane] - squares[i] / pivot[lane];
      signs[lane] += eigenflow::hd::copysign(1.0, pivot[lane]);
    }
  for (int lane = 0; lane < width; ++lane)
    counts[lane] = (n - static_cast<std::int64_t>(signs[lane])) / 2;
}

} // namespace

EF_ISA_DEFINE(svd, {sum_squares<float>, sum_squares<double>, widen, count_below})
