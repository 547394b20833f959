// SPDX-License-Identifier: BSD-3-Clause
// The sine operator for a depth that is known when the kernel is compiled: threads go along the
// columns of the matrix and keep their rows of the right factor in registers, for several rows of
// the left one, which lie in shared memory. So a phase costs its multiply-adds and a quarter as
// many broadcasts. Sums are in a fixed order: a thread's columns, then the warp, then the block.
//
// `left` is (m, size) row-major, in half-turns or not as `right` is; `right` is (size, n), that is
// transposed, so that neighbouring threads read neighbouring words. size <= depth.
#pragma once

#include <eigenflow/cuda/grid.cuh>
#include <eigenflow/hd/sine.hpp>

namespace eigenflow::cuda {

// Before reads of shared memory that stay reads: without it the compiler moves all of them out of
// the loop around, and fills the registers with what is meant to be read again.
__device__ inline void forget_shared() { asm volatile("" ::: "memory"); }

// A number on the device in one of two precisions, or one that the host knows.
struct number {
  const float *low;
  const double *high;
  double value;

  __device__ double operator()() const {
    return high != nullptr ? *high : low != nullptr ? static_cast<double>(*low) : value;
  }
};

// out = in, times omega / pi if that is asked for: rounded once, but for rare ties.
template <class Real>
__device__ inline void copy_factor(strided<const Real> in, hd::int64 rows, hd::int64 cols,
                                   bool in_half_turns, const number &omega, strided<Real> out) {
  const double inverse_pi = 0.31830988618379067154;
  const double scale = in_half_turns ? omega() * inverse_pi : 1.0;
  const Real high = static_cast<Real>(scale), low = static_cast<Real>(scale - high);
  for (hd::int64 i = first_index(); i < rows * cols; i += grid_stride()) {
    const Real x = in(i / cols, i % cols);
    out(i / cols, i % cols) = hd::fma(x, high, x * low);
  }
}

template <class Real> struct sine_transposed {
  const Real *left, *right;
  hd::int64 size, rows, cols;
};

// A thread takes `each` columns at a time: a word of the left factor that it reads serves them all.
template <class Real, int depth, int n_rows, int each> struct sine_rows {
  static constexpr int threads = 256, warps = threads / 32;

  __device__ static void load_left(const sine_transposed<Real> &f, hd::int64 first, Real *u) {
    for (int i = static_cast<int>(threadIdx.x); i < n_rows * depth; i += threads) {
      const hd::int64 row = first + i / depth;
      const int l = i % depth;
      u[i] = row < f.rows && l < f.size ? f.left[row * f.size + l] : Real(0);
    }
    __syncthreads();
  }

  // Rows of the right factor at j, j + threads, ...; zeros beyond the last.
  __device__ static void load_right(const sine_transposed<Real> &f, hd::int64 j,
                                    Real (&v)[each][depth]) {
    EF_UNROLL
    for (int e = 0; e < each; ++e)
      EF_UNROLL
    for (int l = 0; l < depth; ++l) {
      const hd::int64 at = j + e * threads;
      v[e][l] = l < f.size && at < f.cols ? f.right[l * f.cols + at] : Real(0);
    }
  }

  __device__ static Real phase(const Real *u, const Real (&v)[depth]) {
    Real t = 0;
    EF_UNROLL
    for (int l = 0; l < depth; ++l)
      t = hd::add_phase(t, u[l], v[l]);
    return t;
  }

  // Lanes that differ in this bit share the work: one sums the upper half of what both have, the
  // other the lower half. Returns where the sums that are left began.
  template <int count, int bit> __device__ static int sum_over_lanes(Real *sums) {
    if constexpr (bit == 5) {
      return 0;
    } else if constexpr (count == 1) {
      sums[0] += __shfl_xor_sync(0xffffffffu, sums[0], 1 << bit);
      return sum_over_lanes<1, bit + 1>(sums);
    } else {
      constexpr int half = count / 2;
      const bool upper = (threadIdx.x >> bit & 1) != 0;
      EF_UNROLL
      for (int i = 0; i < half; ++i) {
        const Real kept = upper ? sums[half + i] : sums[i];
        const Real given = upper ? sums[i] : sums[half + i];
        sums[i] = kept + __shfl_xor_sync(0xffffffffu, given, 1 << bit);
      }
      return (upper ? half : 0) + sum_over_lanes<half, bit + 1>(sums);
    }
  }

  // Sums of all threads; thread i < count returns the i-th. All threads take part.
  template <int count> __device__ static Real sum_of_block(Real (&sums)[count]) {
    static_assert((count & (count - 1)) == 0, "halves");
    __shared__ Real parts[warps * count];
    const int thread = static_cast<int>(threadIdx.x), index = sum_over_lanes<count, 0>(sums);
    if (thread % 32 < count) {
      EF_UNROLL
      for (int i = 0; i < (count > 32 ? count / 32 : 1); ++i)
        parts[thread / 32 * count + index + i] = sums[i];
    }
    __syncthreads();
    Real total = 0;
    if (thread < count)
      for (int w = 0; w < warps; ++w)
        total += parts[w * count + thread];
    return total;
  }
};

// Y = sin(phase) X / gain for X of at most `columns` columns. One block has `rows` rows of Y.
template <class Real, int depth, int columns> struct few_columns {
  static constexpr int rows = columns <= 4 ? 8 : 4, each = depth * columns <= 32 ? 2 : 1;

  __device__ static void product(const sine_transposed<Real> &f, strided<const Real> X,
                                 hd::int64 n_cols, const number &gain, strided<Real> Y) {
    using tile = sine_rows<Real, depth, rows, each>;
    alignas(16) __shared__ Real u[rows * depth];
    const hd::int64 row = static_cast<hd::int64>(blockIdx.x) * rows;
    tile::load_left(f, row, u);
    Real sums[rows * columns] = {};
    for (hd::int64 j = threadIdx.x; j < f.cols; j += each * tile::threads) {
      Real v[each][depth], x[each][columns];
      tile::load_right(f, j, v);
      EF_UNROLL
      for (int e = 0; e < each; ++e)
        EF_UNROLL
      for (int c = 0; c < columns; ++c) {
        const hd::int64 at = j + e * tile::threads;
        x[e][c] = c < n_cols && at < f.cols ? X(at, c) : Real(0);
      }
      EF_UNROLL
      for (int r = 0; r < rows; ++r) {
        forget_shared();
        EF_UNROLL
        for (int e = 0; e < each; ++e) {
          const Real sine = hd::sinpi(tile::phase(u + r * depth, v[e]));
          EF_UNROLL
          for (int c = 0; c < columns; ++c)
            sums[r * columns + c] = hd::fma(sine, x[e][c], sums[r * columns + c]);
        }
      }
    }
    const Real total = tile::template sum_of_block<rows * columns>(sums);
    const int r = static_cast<int>(threadIdx.x) / columns,
              c = static_cast<int>(threadIdx.x) % columns;
    if (r < rows && row + r < f.rows && c < n_cols)
      Y(row + r, c) = total / static_cast<Real>(gain());
  }
};

// Y = (cos(phase) o a b^T) right^T, with at most `columns` columns in a and b.
template <class Real, int depth, int columns> struct few_slopes {
  static constexpr int sums_of_thread = sizeof(Real) == 4 ? 64 : 32;
  static constexpr int rows = depth == 4 ? 8 : sums_of_thread / depth, each = 1;

  __device__ static void product(const sine_transposed<Real> &f, strided<const Real> a,
                                 strided<const Real> b, hd::int64 n_cols, strided<Real> Y) {
    using tile = sine_rows<Real, depth, rows, each>;
    alignas(16) __shared__ Real u[rows * depth];
    alignas(16) __shared__ Real g[rows * columns];
    const hd::int64 row = static_cast<hd::int64>(blockIdx.x) * rows;
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < rows * columns) {
      const int r = thread / columns, c = thread % columns;
      g[thread] = row + r < f.rows && c < n_cols ? a(row + r, c) : Real(0);
    }
    tile::load_left(f, row, u);
    Real sums[rows * depth] = {};
    for (hd::int64 j = thread; j < f.cols; j += each * tile::threads) {
      Real v[each][depth];
      tile::load_right(f, j, v);
      EF_UNROLL
      for (int e = 0; e < each; ++e) {
        const hd::int64 at = j + e * tile::threads;
        Real w[columns];
        EF_UNROLL
        for (int c = 0; c < columns; ++c)
          w[c] = c < n_cols && at < f.cols ? b(at, c) : Real(0);
        EF_UNROLL
        for (int r = 0; r < rows; ++r) {
          forget_shared();
          Real slope = 0;
          EF_UNROLL
          for (int c = 0; c < columns; ++c)
            slope = hd::fma(g[r * columns + c], w[c], slope);
          slope *= hd::cospi(tile::phase(u + r * depth, v[e]));
          EF_UNROLL
          for (int l = 0; l < depth; ++l)
            sums[r * depth + l] = hd::fma(slope, v[e][l], sums[r * depth + l]);
        }
      }
    }
    const Real total = tile::template sum_of_block<rows * depth>(sums);
    const int r = thread / depth, l = thread % depth;
    if (r < rows && row + r < f.rows && l < f.size)
      Y(row + r, l) = total;
  }
};

// bfloat16 is the upper half of a float; rounds to nearest, ties to even.
struct bfloat16 {
  unsigned short bits;

  __device__ operator float() const {
    return hd::bit_cast<float>(static_cast<hd::uint32>(bits) << 16);
  }
  __device__ static bfloat16 of(float x) {
    const hd::uint32 word = hd::bit_cast<hd::uint32>(x);
    if ((word & 0x7fffffffu) > 0x7f800000u) // NaN stays one
      return {static_cast<unsigned short>((word >> 16) | 0x40u)};
    return {static_cast<unsigned short>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16)};
  }
};

template <class Stored, class Real> __device__ inline Stored stored(Real x) {
  return static_cast<Stored>(x);
}
template <> __device__ inline bfloat16 stored<bfloat16, float>(float x) { return bfloat16::of(x); }

// Runs `write(i, j, phase)` for all entries: blocks of `rows` rows and each * threads columns.
template <class Real, int depth, class Write>
__device__ inline void for_all_phases(const sine_transposed<Real> &f, const Write &write) {
  constexpr int rows = 16, each = depth <= 16 ? 2 : 1;
  using tile = sine_rows<Real, depth, rows, each>;
  alignas(16) __shared__ Real u[rows * depth];
  const hd::int64 row = static_cast<hd::int64>(blockIdx.x) * rows;
  tile::load_left(f, row, u);
  const int count = static_cast<int>(f.rows - row < rows ? f.rows - row : rows);
  const hd::int64 step = static_cast<hd::int64>(gridDim.y) * each * tile::threads;
  for (hd::int64 j = static_cast<hd::int64>(blockIdx.y) * each * tile::threads + threadIdx.x;
       j < f.cols; j += step) {
    Real v[each][depth];
    tile::load_right(f, j, v);
    for (int r = 0; r < count; ++r) {
      EF_UNROLL
      for (int e = 0; e < each; ++e)
        if (j + e * tile::threads < f.cols)
          write(row + r, j + e * tile::threads, tile::phase(u + r * depth, v[e]));
    }
  }
}

// out = base + sin(phase) / gain, row-major; `base` may be null.
template <class Real, int depth, class Stored>
__device__ inline void weights(const sine_transposed<Real> &f, const number &gain,
                               strided<const Stored> base, Stored *out) {
  const Real scale = static_cast<Real>(1 / gain());
  for_all_phases<Real, depth>(f, [&](hd::int64 i, hd::int64 j, Real t) {
    Real w = hd::sinpi(t) * scale;
    if (base.data != nullptr)
      w += static_cast<Real>(base(i, j));
    out[i * f.cols + j] = stored<Stored>(w);
  });
}

// out = cos(phase) o G, row-major.
template <class Real, int depth>
__device__ inline void cosines(const sine_transposed<Real> &f, strided<const Real> G, Real *out) {
  for_all_phases<Real, depth>(
      f, [&](hd::int64 i, hd::int64 j, Real t) { out[i * f.cols + j] = hd::cospi(t) * G(i, j); });
}

} // namespace eigenflow::cuda
