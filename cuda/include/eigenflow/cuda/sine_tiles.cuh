// SPDX-License-Identifier: BSD-3-Clause
// The sine operator times a block of columns. A block of threads makes a tile of sines, each once,
// stages the rows of X that the tile meets, and multiplies both out of shared memory: a thread has
// a patch of the result in registers and reads vectors of both.
#pragma once

#include <eigenflow/cuda/sine_rows.cuh>

namespace eigenflow::cuda {

template <class Real, int depth, int columns> struct sine_tiles {
  static constexpr int threads = 128, rows = 64, inner = 32;
  static constexpr int patch_rows = columns == 64 ? 8 : 4, patch_cols = columns == 16 ? 2 : 4;
  static_assert((rows / patch_rows) * (columns / patch_cols) == threads, "a patch for each thread");
  // Rows of both tiles: longer by 4 words, which keeps vectors aligned and spreads the banks.
  static constexpr int sine_row = rows + 4, x_row = columns + 4;

  struct shared {
    alignas(16) Real sines[inner * sine_row];
    alignas(16) Real x[inner * x_row];
    alignas(16) Real right[inner * depth];
  };

  // Rows first .. first + inner of the right factor and of X; zeros beyond `last`.
  __device__ static void stage(const sine_transposed<Real> &f, strided<const Real> X,
                               hd::int64 first, hd::int64 last, hd::int64 col, hd::int64 n_cols,
                               shared &s) {
    const int thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < inner * depth; i += threads) {
      const int j = i % inner, l = i / inner;
      s.right[j * depth + l] =
          l < f.size && first + j < last ? f.right[l * f.cols + first + j] : Real(0);
    }
    // Neighbouring threads go along the contiguous direction of X.
    const bool along_columns = X.col == 1;
    for (int i = thread; i < inner * columns; i += threads) {
      const int j = along_columns ? i / columns : i % inner;
      const int c = along_columns ? i % columns : i / inner;
      s.x[j * x_row + c] = first + j < last && col + c < n_cols ? X(first + j, col + c) : Real(0);
    }
  }

  // Each thread has one row, u, and every other column of the tile.
  __device__ static void fill(const Real (&u)[depth], shared &s) {
    const int thread = static_cast<int>(threadIdx.x), r = thread % rows;
    EF_UNROLL_BY_4
    for (int j = thread / rows; j < inner; j += threads / rows) {
      Real t = 0;
      EF_UNROLL
      for (int l = 0; l < depth; ++l)
        t = hd::add_phase(t, u[l], s.right[j * depth + l]);
      s.sines[j * sine_row + r] = hd::sinpi(t);
    }
  }

  __device__ static void multiply(const shared &s, int r, int c,
                                  Real (&sums)[patch_rows][patch_cols]) {
    EF_UNROLL_BY_4
    for (int j = 0; j < inner; ++j) {
      Real a[patch_rows], b[patch_cols];
      EF_UNROLL
      for (int i = 0; i < patch_rows; ++i)
        a[i] = s.sines[j * sine_row + r + i];
      EF_UNROLL
      for (int i = 0; i < patch_cols; ++i)
        b[i] = s.x[j * x_row + c + i];
      EF_UNROLL
      for (int i = 0; i < patch_rows; ++i)
        EF_UNROLL
      for (int k = 0; k < patch_cols; ++k)
        sums[i][k] = hd::fma(a[i], b[k], sums[i][k]);
    }
  }

  // Y = sin(phase) X / gain. Blocks (x, y) of a grid: x has rows, y is column block * n_parts +
  // part; a part sums its share of the inner index into its own Y, `part_stride` entries apart.
  __device__ static void product(const sine_transposed<Real> &f, strided<const Real> X,
                                 hd::int64 n_cols, hd::int64 n_parts, const number &gain,
                                 strided<Real> Y, hd::int64 part_stride) {
    __shared__ shared s;
    const int thread = static_cast<int>(threadIdx.x);
    const hd::int64 row = static_cast<hd::int64>(blockIdx.x) * rows;
    const hd::int64 part = blockIdx.y % n_parts, col = blockIdx.y / n_parts * columns;
    const hd::int64 steps = (f.cols + inner - 1) / inner;
    const hd::int64 first = steps * part / n_parts * inner;
    const hd::int64 end = steps * (part + 1) / n_parts * inner;
    const hd::int64 last = end < f.cols ? end : f.cols;
    Real u[depth];
    EF_UNROLL
    for (int l = 0; l < depth; ++l) {
      const hd::int64 own = row + thread % rows;
      u[l] = own < f.rows && l < f.size ? f.left[own * f.size + l] : Real(0);
    }
    const int r = thread / (columns / patch_cols) * patch_rows;
    const int c = thread % (columns / patch_cols) * patch_cols;
    Real sums[patch_rows][patch_cols] = {};
    for (hd::int64 j = first; j < last; j += inner) {
      stage(f, X, j, last, col, n_cols, s);
      __syncthreads();
      fill(u, s);
      __syncthreads();
      multiply(s, r, c, sums);
      __syncthreads();
    }
    const Real divisor = static_cast<Real>(gain());
    Real *const out = Y.data + part * part_stride;
    EF_UNROLL
    for (int i = 0; i < patch_rows; ++i)
      EF_UNROLL
    for (int k = 0; k < patch_cols; ++k)
      if (row + r + i < f.rows && col + c + k < n_cols)
        out[(row + r + i) * Y.row + (col + c + k) * Y.col] = sums[i][k] / divisor;
  }
};

} // namespace eigenflow::cuda
