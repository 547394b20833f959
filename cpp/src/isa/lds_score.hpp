// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

// Besides products, what a step of the score does with row-major n x n matrices whose rows are
// `width` long.
struct lds_score_kernels {
  // out += scale a.
  void (*add)(std::int64_t size, double scale, const double *a, double *out);
  // out = a', for a of rows x cols.
  void (*transpose)(std::int64_t rows, std::int64_t cols, const double *a, std::int64_t a_width,
                    double *out, std::int64_t out_width);
  // a <- (a + a') / 2.
  void (*symmetrise)(std::int64_t n, std::int64_t width, double *a);
  // Whether two symmetric matrices differ by at most rtol sqrt(|a_ii a_jj|) in each entry; `units`
  // holds n. Most that do not differ in a diagonal entry already.
  bool (*close)(std::int64_t n, std::int64_t width, const double *a, const double *b, double rtol,
                double *units);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(lds_score)
