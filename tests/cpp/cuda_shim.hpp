// SPDX-License-Identifier: BSD-3-Clause
// Runs kernels without barriers or shared memory under the host compiler: `launch` loops over the
// threads of a small grid. So their numerics and memory accesses are tested, and sanitised, without
// a GPU.
#pragma once

#define __device__
#define __global__
#define __forceinline__ inline

namespace cuda_shim {
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
} // namespace cuda_shim

inline cuda_shim::dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace cuda_shim {

template <class Kernel, class... Arguments>
void launch(unsigned blocks, unsigned threads, Kernel kernel, Arguments... arguments) {
  gridDim.x = blocks;
  blockDim.x = threads;
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
    for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
      kernel(arguments...);
}

} // namespace cuda_shim
