// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

struct rng_kernels {
  // Words of row `row`, columns [first_col, first_col + n): entry (i, j) is word j % 4 of the block
  // whose counter is (j / 4, i).
  void (*words)(std::uint64_t key, std::uint64_t row, std::uint64_t first_col, std::int64_t n,
                std::uint32_t *out, std::int64_t stride);
  // Standard normals of the same entries.
  void (*normals_float)(std::uint64_t key, std::uint64_t row, std::uint64_t first_col,
                        std::int64_t n, float *out, std::int64_t stride);
  void (*normals_double)(std::uint64_t key, std::uint64_t row, std::uint64_t first_col,
                         std::int64_t n, double *out, std::int64_t stride);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(rng)
