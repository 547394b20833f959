// SPDX-License-Identifier: BSD-3-Clause
// Products with few columns, for one bound of the depth and one of the columns.
#include <eigenflow/cuda/sine_rows.cuh>

#ifndef EF_DEPTH
#define EF_DEPTH 8
#endif
#ifndef EF_COLUMNS
#define EF_COLUMNS 8
#endif

extern "C" __global__ void __launch_bounds__(256)
    few_columns_f32(const float *left, const float *right, long long size, long long m, long long n,
                    const float *X, long long x_row, long long x_col, long long n_cols,
                    const float *gain_low, const double *gain_high, double gain, float *Y,
                    long long y_row, long long y_col) {
  eigenflow::cuda::few_columns<float, EF_DEPTH, EF_COLUMNS>::product(
      {left, right, size, m, n}, {X, x_row, x_col}, n_cols, {gain_low, gain_high, gain},
      {Y, y_row, y_col});
}

extern "C" __global__ void __launch_bounds__(256)
    few_slopes_f32(const float *left, const float *right, long long size, long long m, long long n,
                   const float *a, long long a_row, long long a_col, const float *b,
                   long long b_row, long long b_col, long long n_cols, float *Y, long long y_row,
                   long long y_col) {
  eigenflow::cuda::few_slopes<float, EF_DEPTH, EF_COLUMNS>::product(
      {left, right, size, m, n}, {a, a_row, a_col}, {b, b_row, b_col}, n_cols, {Y, y_row, y_col});
}

extern "C" __global__ void __launch_bounds__(256)
    few_columns_f64(const double *left, const double *right, long long size, long long m,
                    long long n, const double *X, long long x_row, long long x_col,
                    long long n_cols, const float *gain_low, const double *gain_high, double gain,
                    double *Y, long long y_row, long long y_col) {
  eigenflow::cuda::few_columns<double, EF_DEPTH, EF_COLUMNS>::product(
      {left, right, size, m, n}, {X, x_row, x_col}, n_cols, {gain_low, gain_high, gain},
      {Y, y_row, y_col});
}

extern "C" __global__ void __launch_bounds__(256)
    few_slopes_f64(const double *left, const double *right, long long size, long long m,
                   long long n, const double *a, long long a_row, long long a_col, const double *b,
                   long long b_row, long long b_col, long long n_cols, double *Y, long long y_row,
                   long long y_col) {
  eigenflow::cuda::few_slopes<double, EF_DEPTH, EF_COLUMNS>::product(
      {left, right, size, m, n}, {a, a_row, a_col}, {b, b_row, b_col}, n_cols, {Y, y_row, y_col});
}
