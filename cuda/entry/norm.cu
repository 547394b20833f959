// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cuda/norm.cuh>

extern "C" __global__ void sums_of_squares_f32(const float *x, long long n, double *sums) {
  eigenflow::cuda::sums_of_squares(x, n, sums);
}

extern "C" __global__ void sums_of_squares_f64(const double *x, long long n, double *sums) {
  eigenflow::cuda::sums_of_squares(x, n, sums);
}
