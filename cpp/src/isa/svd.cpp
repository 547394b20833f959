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

} // namespace

EF_ISA_DEFINE(svd, {sum_squares<float>, sum_squares<double>, widen})
