// SPDX-License-Identifier: BSD-3-Clause
// What all kernels share: the grid-stride loop, so that any launch shape covers any size.
#pragma once

#include <eigenflow/hd/config.hpp>

// Before a loop whose copies are to have constants for indices.
#ifdef __CUDACC__
#define EF_UNROLL _Pragma("unroll")
#define EF_UNROLL_BY_4 _Pragma("unroll 4")
#else
#define EF_UNROLL
#define EF_UNROLL_BY_4
#endif

namespace eigenflow::cuda {

__device__ inline hd::int64 first_index() {
  return static_cast<hd::int64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline hd::int64 grid_stride() { return static_cast<hd::int64>(gridDim.x) * blockDim.x; }

// Along the second dimension of the grid.
__device__ inline hd::int64 first_index_down() {
  return static_cast<hd::int64>(blockIdx.y) * blockDim.y + threadIdx.y;
}

__device__ inline hd::int64 grid_stride_down() {
  return static_cast<hd::int64>(gridDim.y) * blockDim.y;
}

// Packed entries, or with a stride of 0 one value that stands for all.
template <class T> struct entries {
  const T *data;
  hd::int64 stride;

  __device__ double operator[](hd::int64 i) const { return data[i * stride]; }
};

// A matrix in any memory order; strides count entries.
template <class T> struct strided {
  T *data;
  hd::int64 row, col;

  __device__ T &operator()(hd::int64 i, hd::int64 j) const { return data[i * row + j * col]; }
};

} // namespace eigenflow::cuda
