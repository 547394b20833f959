// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <eigenflow/cuda/grid.cuh>
#include <eigenflow/hd/philox.hpp>

namespace eigenflow::cuda {

// The words of a row-major block of the random matrix that `key` determines; one Philox call an
// entry costs four times the least work, and keeps every entry independent of the block's origin.
__device__ inline void fill_words(hd::uint64 key, hd::int64 first_row, hd::int64 first_col,
                                  hd::int64 rows, hd::int64 cols, hd::uint32 *out) {
  for (hd::int64 i = first_index(); i < rows * cols; i += grid_stride()) {
    const auto row = static_cast<hd::uint64>(first_row + i / cols);
    const auto col = static_cast<hd::uint64>(first_col + i % cols);
    out[i] = hd::philox4x32(col / 4, row, key).word[col % 4];
  }
}

} // namespace eigenflow::cuda
