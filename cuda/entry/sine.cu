// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cuda/sine.cuh>
#include <eigenflow/cuda/sine_rows.cuh>

extern "C" __global__ void scale_factor_f32(const float *u, long long n, double scale,
                                            double scale_low, float *high, float *low) {
  eigenflow::cuda::scale_factor(u, n, scale, scale_low, high, low);
}

extern "C" __global__ void scale_factor_f64(const double *u, long long n, double scale,
                                            double scale_low, double *high, double *low) {
  eigenflow::cuda::scale_factor(u, n, scale, scale_low, high, low);
}

extern "C" __global__ void sine_entries_f32(const float *left, const float *left_low,
                                            const float *right, const float *right_low,
                                            long long depth, float inverse_gain, long long rows,
                                            long long cols, float *out) {
  eigenflow::cuda::sine_entries<float>({left, left_low, right, right_low, depth, inverse_gain},
                                       rows, cols, out);
}

extern "C" __global__ void sine_entries_f64(const double *left, const double *left_low,
                                            const double *right, const double *right_low,
                                            long long depth, double inverse_gain, long long rows,
                                            long long cols, double *out) {
  eigenflow::cuda::sine_entries<double>({left, left_low, right, right_low, depth, inverse_gain},
                                        rows, cols, out);
}

extern "C" __global__ void copy_factor_f32(const float *in, long long in_row, long long in_col,
                                           long long rows, long long cols, int in_half_turns,
                                           const float *omega_low, const double *omega_high,
                                           double omega, float *out, long long out_row,
                                           long long out_col) {
  eigenflow::cuda::copy_factor<float>({in, in_row, in_col}, rows, cols, in_half_turns != 0,
                                      {omega_low, omega_high, omega}, {out, out_row, out_col});
}

extern "C" __global__ void copy_factor_f64(const double *in, long long in_row, long long in_col,
                                           long long rows, long long cols, int in_half_turns,
                                           const float *omega_low, const double *omega_high,
                                           double omega, double *out, long long out_row,
                                           long long out_col) {
  eigenflow::cuda::copy_factor<double>({in, in_row, in_col}, rows, cols, in_half_turns != 0,
                                       {omega_low, omega_high, omega}, {out, out_row, out_col});
}

extern "C" __global__ void __launch_bounds__(256)
    sine_product_f32(const float *left, const float *left_low, const float *right,
                     const float *right_low, long long depth, float inverse_gain, const float *X,
                     long long x_row, long long x_col, long long m, long long n, long long n_cols,
                     float *Y, long long y_row, long long y_col) {
  eigenflow::cuda::sine_product<float>(
      eigenflow::cuda::sine_factors<float>{left, left_low, right, right_low, depth, inverse_gain},
      {X, x_row, x_col}, m, n, n_cols, {Y, y_row, y_col});
}

extern "C" __global__ void __launch_bounds__(256)
    sine_slope_product_f32(const float *left, const float *left_low, const float *right,
                           const float *right_low, long long depth, float inverse_gain,
                           const float *a, long long a_row, long long a_col, const float *b,
                           long long b_row, long long b_col, long long size, const float *X,
                           long long x_row, long long x_col, long long m, long long n,
                           long long n_cols, float *Y, long long y_row, long long y_col) {
  eigenflow::cuda::sine_product<float>(
      eigenflow::cuda::sine_slopes<float>{{left, left_low, right, right_low, depth, inverse_gain},
                                          {a, a_row, a_col},
                                          {b, b_row, b_col},
                                          size},
      {X, x_row, x_col}, m, n, n_cols, {Y, y_row, y_col});
}

extern "C" __global__ void __launch_bounds__(256)
    sine_product_f64(const double *left, const double *left_low, const double *right,
                     const double *right_low, long long depth, double inverse_gain, const double *X,
                     long long x_row, long long x_col, long long m, long long n, long long n_cols,
                     double *Y, long long y_row, long long y_col) {
  eigenflow::cuda::sine_product<double>(
      eigenflow::cuda::sine_factors<double>{left, left_low, right, right_low, depth, inverse_gain},
      {X, x_row, x_col}, m, n, n_cols, {Y, y_row, y_col});
}

extern "C" __global__ void __launch_bounds__(256)
    sine_slope_product_f64(const double *left, const double *left_low, const double *right,
                           const double *right_low, long long depth, double inverse_gain,
                           const double *a, long long a_row, long long a_col, const double *b,
                           long long b_row, long long b_col, long long size, const double *X,
                           long long x_row, long long x_col, long long m, long long n,
                           long long n_cols, double *Y, long long y_row, long long y_col) {
  eigenflow::cuda::sine_product<double>(
      eigenflow::cuda::sine_slopes<double>{{left, left_low, right, right_low, depth, inverse_gain},
                                           {a, a_row, a_col},
                                           {b, b_row, b_col},
                                           size},
      {X, x_row, x_col}, m, n, n_cols, {Y, y_row, y_col});
}
