// SPDX-License-Identifier: BSD-3-Clause
// Products with many columns, for one bound of the depth and one tile of columns.
#include <eigenflow/cuda/sine_tiles.cuh>

#ifndef EF_DEPTH
#define EF_DEPTH 8
#endif
#ifndef EF_COLUMNS
#define EF_COLUMNS 64
#endif

extern "C" __global__ void __launch_bounds__(128)
    tiled_product_f32(const float *left, const float *right, long long size, long long m,
                      long long n, const float *X, long long x_row, long long x_col,
                      long long n_cols, long long n_parts, const float *gain_low,
                      const double *gain_high, double gain, float *Y, long long y_row,
                      long long y_col, long long part_stride) {
  eigenflow::cuda::sine_tiles<float, EF_DEPTH, EF_COLUMNS>::product(
      {left, right, size, m, n}, {X, x_row, x_col}, n_cols, n_parts, {gain_low, gain_high, gain},
      {Y, y_row, y_col}, part_stride);
}

extern "C" __global__ void __launch_bounds__(128)
    tiled_product_f64(const double *left, const double *right, long long size, long long m,
                      long long n, const double *X, long long x_row, long long x_col,
                      long long n_cols, long long n_parts, const float *gain_low,
                      const double *gain_high, double gain, double *Y, long long y_row,
                      long long y_col, long long part_stride) {
  eigenflow::cuda::sine_tiles<double, EF_DEPTH, EF_COLUMNS>::product(
      {left, right, size, m, n}, {X, x_row, x_col}, n_cols, n_parts, {gain_low, gain_high, gain},
      {Y, y_row, y_col}, part_stride);
}
