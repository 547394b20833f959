// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

// A matrix in memory with any strides.
template <class Real> struct strided_matrix {
  const Real *data;
  std::int64_t rows, cols;
  std::int64_t row_stride, col_stride;
};

struct product_kernels {
  // c += a b for a few columns. Rows of b and c are packed and `width` long, whole cache lines
  // each. Every entry of c is one chain of fused multiply-adds in the order of a's columns, so the
  // way of cutting a into pieces along its rows never changes a result.
  void (*accumulate_float)(const strided_matrix<float> &a, const float *b, std::int64_t width,
                           float *c);
  void (*accumulate_double)(const strided_matrix<double> &a, const double *b, std::int64_t width,
                            double *c);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(product)
