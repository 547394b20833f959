// SPDX-License-Identifier: BSD-3-Clause
// The sine operator on the device for any depth and for exact phases: entries, and products that
// never store them. Each entry is the chain of operations of the host's, and each sum runs in the
// host's blocks and order. Kernels for small depths, which are several times faster, are in
// sine_rows.cuh and sine_tiles.cuh.
#pragma once

#include <eigenflow/cuda/grid.cuh>
#include <eigenflow/hd/sine.hpp>

namespace eigenflow::cuda {

// Rows of the left factor times rows of the right one. One of the two carries omega / pi; in the
// exact mode its low parts are given, and the pointers are null otherwise. All row-major, depth
// columns.
template <class Real> struct sine_factors {
  const Real *left, *left_low, *right, *right_low;
  hd::int64 depth;
  Real inverse_gain;

  __device__ Real operator()(hd::int64 i, hd::int64 j) const;
};

// The phase, in half-turns.
template <class Real>
__device__ inline Real sine_phase(const sine_factors<Real> &f, hd::int64 i, hd::int64 j) {
  const Real *u = f.left + i * f.depth, *v = f.right + j * f.depth;
  Real t = 0;
  if (f.left_low != nullptr)
    for (hd::int64 l = 0; l < f.depth; ++l)
      t = hd::add_phase_exact(t, u[l], f.left_low[i * f.depth + l], v[l]);
  else if (f.right_low != nullptr)
    for (hd::int64 l = 0; l < f.depth; ++l)
      t = hd::add_phase_exact(t, v[l], f.right_low[j * f.depth + l], u[l]);
  else
    for (hd::int64 l = 0; l < f.depth; ++l)
      t = hd::add_phase(t, u[l], v[l]);
  return t;
}

template <class Real>
__device__ inline Real sine_factors<Real>::operator()(hd::int64 i, hd::int64 j) const {
  return hd::sinpi(sine_phase(*this, i, j)) * inverse_gain;
}

// cos(phase) / gain times an inner product of rows of a and b, `size` long. Reverse mode: a is the
// gradient of the product and b the right-hand sides. Forward mode: the inner product is the
// tangent of the phase.
template <class Real> struct sine_slopes {
  sine_factors<Real> factors;
  strided<const Real> a, b;
  hd::int64 size;

  __device__ Real operator()(hd::int64 i, hd::int64 j) const {
    Real sum = 0;
    for (hd::int64 l = 0; l < size; ++l)
      sum = hd::fma(a(i, l), b(j, l), sum);
    return hd::cospi(sine_phase(factors, i, j)) * factors.inverse_gain * sum;
  }
};

// high + low = u * (scale + scale_low), to twice the digits of Real; `low` may be null.
template <class Real>
__device__ inline void scale_factor(const Real *u, hd::int64 n, double scale, double scale_low,
                                    Real *high, Real *low) {
  for (hd::int64 i = first_index(); i < n; i += grid_stride()) {
    const double x = u[i];
    high[i] = static_cast<Real>(x * scale);
    if (low != nullptr)
      low[i] = static_cast<Real>(hd::fma(x, scale, -static_cast<double>(high[i])) + x * scale_low);
  }
}

template <class Real>
__device__ inline void sine_entries(const sine_factors<Real> &f, hd::int64 rows, hd::int64 cols,
                                    Real *out) {
  for (hd::int64 i = first_index(); i < rows * cols; i += grid_stride())
    out[i] = f(i / cols, i % cols);
}

// A block of threads owns `rows` rows and `cols` right-hand sides of the result. It fills a tile of
// sines (or of what else `entry(i, j)` is) in shared memory, waits, and multiplies: each sine is
// made once for all `cols`. Thread (x, y) of rows x groups fills every groups-th column of the
// tile, and sums right-hand sides y, y + groups, ... of row x; neighbouring threads read
// neighbouring words of shared memory.
template <class Real> struct sine_block {
  static constexpr int rows = 32, groups = 8, each = 8, cols = groups * each, depth = 32;
  static_assert(hd::sine_tile_cols % depth == 0, "whole tiles in a block of a sum");

  template <class Entry>
  __device__ static void fill(const Entry &entry, hd::int64 first_row, hd::int64 n_rows,
                              hd::int64 first, hd::int64 n, int x, int y, Real *tile) {
    for (int j = y; j < depth; j += groups)
      tile[j * rows + x] =
          first_row + x < n_rows && first + j < n ? entry(first_row + x, first + j) : Real(0);
  }

  // X is n x n_cols.
  __device__ static void multiply(const Real *tile, strided<const Real> X, hd::int64 first,
                                  hd::int64 n, hd::int64 first_col, hd::int64 n_cols, int x, int y,
                                  Real *sum) {
    const int count = static_cast<int>(n - first < depth ? n - first : depth);
    for (int j = 0; j < count; ++j) {
      const Real sine = tile[j * rows + x];
      for (int c = 0; c < each; ++c) {
        const hd::int64 col = first_col + y + c * groups;
        sum[c] = hd::fma(sine, col < n_cols ? X(first + j, col) : Real(0), sum[c]);
      }
    }
  }
};

// The matrix of entries times X, with grid (row blocks, column blocks) and blocks of
// (rows, groups) threads.
template <class Real, class Entry>
__device__ inline void sine_product(const Entry &entry, strided<const Real> X, hd::int64 m,
                                    hd::int64 n, hd::int64 n_cols, strided<Real> Y) {
  using block = sine_block<Real>;
  __shared__ Real tile[block::depth * block::rows];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const hd::int64 row = static_cast<hd::int64>(blockIdx.x) * block::rows;
  const hd::int64 col = static_cast<hd::int64>(blockIdx.y) * block::cols;
  Real total[block::each] = {}, sum[block::each] = {};
  for (hd::int64 first = 0; first < n; first += block::depth) {
    block::fill(entry, row, m, first, n, x, y, tile);
    __syncthreads();
    block::multiply(tile, X, first, n, col, n_cols, x, y, sum);
    __syncthreads();
    if ((first + block::depth) % hd::sine_tile_cols == 0 || first + block::depth >= n)
      for (int c = 0; c < block::each; ++c) {
        total[c] += sum[c];
        sum[c] = 0;
      }
  }
  for (int c = 0; c < block::each; ++c)
    if (row + x < m && col + y + c * block::groups < n_cols)
      Y(row + x, col + y + c * block::groups) = total[c];
}

} // namespace eigenflow::cuda
