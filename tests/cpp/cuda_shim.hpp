// SPDX-License-Identifier: BSD-3-Clause
// Runs kernels under the host compiler, so that their numerics and memory accesses are tested, and
// sanitised, without a GPU. `launch` loops over the threads of a small grid. `launch_blocks` gives
// each thread of a block its own stack and changes between them at barriers; shared memory is
// static memory then. That takes the contexts of POSIX, which musl, macOS and Windows lack.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#ifdef __GLIBC__
#define CUDA_SHIM_BLOCKS 1
#include <ucontext.h>
#endif

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

namespace cuda_shim {
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
} // namespace cuda_shim

inline cuda_shim::dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace cuda_shim {

template <class Kernel, class... Arguments>
void launch(unsigned blocks, unsigned threads, Kernel kernel, Arguments... arguments) {
  gridDim = {blocks, 1, 1};
  blockDim = {threads, 1, 1};
  blockIdx = threadIdx = {0, 0, 0};
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
    for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
      kernel(arguments...);
}

#ifdef CUDA_SHIM_BLOCKS
// The threads of one block after the other. A round runs each up to its next barrier, or its end.
class block_of_threads {
public:
  template <class Call> void run(const Call &call) {
    const unsigned size = blockDim.x * blockDim.y;
    grow(size);
    call_ = [](const void *c) { (*static_cast<const Call *>(c))(); };
    callable_ = &call;
    for (unsigned i = 0; i < size; ++i)
      prepare(i);
    for (bool waiting = true; waiting;) {
      unsigned ended = 0;
      for (current_ = 0; current_ < size; ++current_) {
        threadIdx = {current_ % blockDim.x, current_ / blockDim.x, 0};
        swapcontext(&scheduler_, &threads_[current_]);
        ended += ended_[current_];
      }
      waiting = ended == 0;
      if (ended != 0 && ended != size) {
        std::fprintf(stderr, "a barrier that only some threads of a block reach\n");
        std::abort();
      }
    }
  }

  void wait() { swapcontext(&threads_[current_], &scheduler_); }

  unsigned current() const { return current_; }

  // What thread `source` shows at this barrier. Two barriers alternate in their memory, so that one
  // wait each is enough.
  double exchange(double value, unsigned source) {
    const unsigned offset = (turns_[current_]++ % 2) * static_cast<unsigned>(turns_.size());
    shown_[offset + current_] = value;
    wait();
    return shown_[offset + source];
  }

private:
  static constexpr std::size_t stack_size = 128 << 10;

  void grow(unsigned size) {
    if (threads_.size() >= size)
      return;
    threads_.resize(size);
    ended_.resize(size);
    shown_.resize(std::size_t{2} * size);
    turns_.resize(size);
    while (stacks_.size() < size)
      stacks_.emplace_back(new char[stack_size]);
  }

  void prepare(unsigned i) {
    ended_[i] = turns_[i] = 0;
    getcontext(&threads_[i]);
    threads_[i].uc_stack.ss_sp = stacks_[i].get();
    threads_[i].uc_stack.ss_size = stack_size;
    threads_[i].uc_link = &scheduler_;
    makecontext(&threads_[i], &block_of_threads::begin, 0);
  }

  static void begin();

  ucontext_t scheduler_{};
  std::vector<ucontext_t> threads_;
  std::vector<std::unique_ptr<char[]>> stacks_;
  std::vector<unsigned> ended_;
  std::vector<double> shown_;
  std::vector<unsigned> turns_;
  unsigned current_ = 0;
  void (*call_)(const void *) = nullptr;
  const void *callable_ = nullptr;
};

inline block_of_threads block;

inline void block_of_threads::begin() {
  block.call_(block.callable_);
  block.ended_[block.current_] = 1;
}

template <class Call> void launch_blocks(dim3 grid, dim3 threads, const Call &call) {
  gridDim = grid;
  blockDim = threads;
  for (unsigned y = 0; y < grid.y; ++y)
    for (unsigned x = 0; x < grid.x; ++x) {
      blockIdx = {x, y, 0};
      block.run(call);
    }
}

// All threads of the block take part, not only those of a warp.
template <class T> T from_lane(T value, unsigned lane) {
  const unsigned source = block.current() / 32 * 32 + lane % 32;
  return static_cast<T>(block.exchange(static_cast<double>(value), source));
}
#endif

} // namespace cuda_shim

#ifndef CUDA_SHIM_BLOCKS
inline void __syncthreads() {} // kernels with barriers compile, and are not run
template <class T> T __shfl_xor_sync(unsigned, T value, unsigned) { return value; }
#else
inline void __syncthreads() { cuda_shim::block.wait(); }

template <class T> T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return cuda_shim::from_lane(value, (cuda_shim::block.current() % 32) ^ mask);
}
#endif
