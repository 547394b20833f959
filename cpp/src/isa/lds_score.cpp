// SPDX-License-Identifier: BSD-3-Clause
#include "lds_score.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

using std::int64_t;
namespace hd = eigenflow::hd;

void add(int64_t size, double scale, const double *__restrict a, double *__restrict out) {
  for (int64_t i = 0; i < size; ++i)
    out[i] = hd::fma(scale, a[i], out[i]);
}

void transpose(int64_t rows, int64_t cols, const double *__restrict a, int64_t a_width,
               double *__restrict out, int64_t out_width) {
  for (int64_t j = 0; j < cols; ++j)
    for (int64_t i = 0; i < rows; ++i)
      out[j * out_width + i] = a[i * a_width + j];
}

void symmetrise(int64_t n, int64_t width, double *a) {
  for (int64_t i = 0; i < n; ++i) {
    double *row = a + i * width, *column = a + i;
    for (int64_t j = 0; j < i; ++j) {
      const double mean = 0.5 * (row[j] + column[j * width]);
      row[j] = mean;
      column[j * width] = mean;
    }
  }
}

bool close(int64_t n, int64_t width, const double *a, const double *b, double rtol, double *units) {
  for (int64_t i = 0; i < n; ++i) {
    const double size = hd::abs(a[i * (width + 1)]);
    if (!(hd::abs(a[i * (width + 1)] - b[i * (width + 1)]) <= rtol * size))
      return false;
    units[i] = hd::sqrt(size);
  }
  for (int64_t i = 0; i < n; ++i) {
    const double *p = a + i * width, *q = b + i * width;
    const double unit = rtol * units[i];
    for (int64_t j = 0; j < i; ++j)
      if (!(hd::abs(p[j] - q[j]) <= unit * units[j]))
        return false;
  }
  return true;
}

} // namespace

EF_ISA_DEFINE(lds_score, {add, transpose, symmetrise, close})
