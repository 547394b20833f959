// SPDX-License-Identifier: BSD-3-Clause
// The matrix, and a matrix times the cosines, for one bound of the depth.
#include <eigenflow/cuda/sine_rows.cuh>

#ifndef EF_DEPTH
#define EF_DEPTH 8
#endif

extern "C" __global__ void __launch_bounds__(256)
    cosines_f32(const float *left, const float *right, long long size, long long m, long long n,
                const float *G, long long g_row, long long g_col, float *out) {
  eigenflow::cuda::cosines<float, EF_DEPTH>({left, right, size, m, n}, {G, g_row, g_col}, out);
}

extern "C" __global__ void __launch_bounds__(256)
    cosines_f64(const double *left, const double *right, long long size, long long m, long long n,
                const double *G, long long g_row, long long g_col, double *out) {
  eigenflow::cuda::cosines<double, EF_DEPTH>({left, right, size, m, n}, {G, g_row, g_col}, out);
}

extern "C" __global__ void __launch_bounds__(256)
    weights_f32(const float *left, const float *right, long long size, long long m, long long n,
                const float *gain_low, const double *gain_high, double gain, const float *base,
                long long base_row, long long base_col, float *out) {
  eigenflow::cuda::weights<float, EF_DEPTH, float>(
      {left, right, size, m, n}, {gain_low, gain_high, gain}, {base, base_row, base_col}, out);
}

extern "C" __global__ void __launch_bounds__(256)
    weights_f64(const double *left, const double *right, long long size, long long m, long long n,
                const float *gain_low, const double *gain_high, double gain, const double *base,
                long long base_row, long long base_col, double *out) {
  eigenflow::cuda::weights<double, EF_DEPTH, double>(
      {left, right, size, m, n}, {gain_low, gain_high, gain}, {base, base_row, base_col}, out);
}

// Entries of bfloat16 as their bits.
extern "C" __global__ void __launch_bounds__(256)
    weights_bf16(const float *left, const float *right, long long size, long long m, long long n,
                 const float *gain_low, const double *gain_high, double gain, const void *base,
                 long long base_row, long long base_col, void *out) {
  using eigenflow::cuda::bfloat16;
  eigenflow::cuda::weights<float, EF_DEPTH, bfloat16>(
      {left, right, size, m, n}, {gain_low, gain_high, gain},
      {static_cast<const bfloat16 *>(base), base_row, base_col}, static_cast<bfloat16 *>(out));
}
