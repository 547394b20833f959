// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cuda/sine.cuh>

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

#ifdef __CUDACC__
extern "C" __global__ void sine_product_f32(const float *left, const float *left_low,
                                            const float *right, const float *right_low,
                                            long long depth, float inverse_gain, const float *X,
                                            long long m, long long n, long long n_cols, float *Y) {
  eigenflow::cuda::sine_product<float>(
      eigenflow::cuda::sine_factors<float>{left, left_low, right, right_low, depth, inverse_gain},
      X, m, n, n_cols, Y);
}

extern "C" __global__ void sine_product_f64(const double *left, const double *left_low,
                                            const double *right, const double *right_low,
                                            long long depth, double inverse_gain, const double *X,
                                            long long m, long long n, long long n_cols, double *Y) {
  eigenflow::cuda::sine_product<double>(
      eigenflow::cuda::sine_factors<double>{left, left_low, right, right_low, depth, inverse_gain},
      X, m, n, n_cols, Y);
}

extern "C" __global__ void sine_slope_product_f32(const float *left, const float *left_low,
                                                  const float *right, const float *right_low,
                                                  long long depth, float inverse_gain,
                                                  const float *a, const float *b, long long size,
                                                  const float *X, long long m, long long n,
                                                  long long n_cols, float *Y) {
  eigenflow::cuda::sine_product<float>(
      eigenflow::cuda::sine_slopes<float>{
          {left, left_low, right, right_low, depth, inverse_gain}, a, b, size},
      X, m, n, n_cols, Y);
}

extern "C" __global__ void sine_slope_product_f64(const double *left, const double *left_low,
                                                  const double *right, const double *right_low,
                                                  long long depth, double inverse_gain,
                                                  const double *a, const double *b, long long size,
                                                  const double *X, long long m, long long n,
                                                  long long n_cols, double *Y) {
  eigenflow::cuda::sine_product<double>(
      eigenflow::cuda::sine_slopes<double>{
          {left, left_low, right, right_low, depth, inverse_gain}, a, b, size},
      X, m, n, n_cols, Y);
}
#endif
