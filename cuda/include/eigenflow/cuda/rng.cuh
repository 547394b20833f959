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

// What one counter gives is as wide as a store can be: one instruction, which the compiler does not
// make of four.
__device__ inline void store(const float (&x)[4], float *to) {
#ifdef __CUDACC__
  __stwb(reinterpret_cast<float4 *>(to), make_float4(x[0], x[1], x[2], x[3]));
#else
  for (int lane = 0; lane < 4; ++lane)
    to[lane] = x[lane];
#endif
}

__device__ inline void store(const double (&x)[2], double *to) {
#ifdef __CUDACC__
  __stwb(reinterpret_cast<double2 *>(to), make_double2(x[0], x[1]));
#else
  for (int lane = 0; lane < 2; ++lane)
    to[lane] = x[lane];
#endif
}

// Standard normals of a row-major block. A thread makes those that share a counter, and writes them
// at once where the rows and `out`, which is aligned like any allocation, allow it. Rows go along
// the second dimension of the grid, so that no index is divided.
template <class T>
__device__ void fill_normals(hd::uint64 key, hd::int64 first_row, hd::int64 first_col,
                             hd::int64 rows, hd::int64 cols, T *out) {
  constexpr hd::int64 size = 16 / sizeof(T);
  const hd::int64 first = first_col / size, offset = first_col % size;
  const hd::int64 counters = (offset + cols + size - 1) / size;
  const bool whole = offset == 0 && cols % size == 0;
  for (hd::int64 row = first_index_down(); row < rows; row += grid_stride_down())
    for (hd::int64 i = first_index(); i < counters; i += grid_stride()) {
      T drawn[size];
      hd::normals_of_counter(key, static_cast<hd::uint64>(first_row + row),
                             static_cast<hd::uint64>(first + i), drawn);
      const hd::int64 col = size * i - offset;
      T *const place = out + row * cols + col;
      if (whole) {
        store(drawn, place);
        continue;
      }
      for (hd::int64 lane = 0; lane < size; ++lane)
        if (col + lane >= 0 && col + lane < cols)
          place[lane] = drawn[lane];
    }
}

} // namespace eigenflow::cuda
