// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <eigenflow/cuda/grid.cuh>
#include <eigenflow/hd/gaussian.hpp>
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

// Standard normals of a row-major block. A thread makes the four that share a counter: one Philox
// call in single precision, two in double.
template <class T>
__device__ void fill_normals(hd::uint64 key, hd::int64 first_row, hd::int64 first_col,
                             hd::int64 rows, hd::int64 cols, T *out) {
  const hd::int64 first_block = first_col / 4;
  const hd::int64 blocks = (first_col + cols + 3) / 4 - first_block;
  for (hd::int64 i = first_index(); i < rows * blocks; i += grid_stride()) {
    const hd::int64 row = i / blocks, block = first_block + i % blocks;
    T values[4];
    hd::normals(key, static_cast<hd::uint64>(first_row + row), static_cast<hd::uint64>(block),
                values);
    for (hd::int64 lane = 0; lane < 4; ++lane) {
      const hd::int64 col = 4 * block + lane - first_col;
      if (col >= 0 && col < cols)
        out[row * cols + col] = values[lane];
    }
  }
}

} // namespace eigenflow::cuda
