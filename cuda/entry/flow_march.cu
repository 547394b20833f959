// SPDX-License-Identifier: BSD-3-Clause
// theta at depth >= 1. How the arguments arrive: flow.cuh.
#include <eigenflow/cuda/flow.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void flow_march_f32(long long n, const float *z, long long z_stride,
                                          const float *lambda, long long lambda_stride,
                                          const float *b0, long long b0_stride, int depth,
                                          double b_rate, long long n_times, const double *times,
                                          const long long *row, float *theta) {
  cuda::flow_march<float>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                          b_rate, {n_times, times, row}, theta);
}

extern "C" __global__ void flow_march_f64(long long n, const double *z, long long z_stride,
                                          const double *lambda, long long lambda_stride,
                                          const double *b0, long long b0_stride, int depth,
                                          double b_rate, long long n_times, const double *times,
                                          const long long *row, double *theta) {
  cuda::flow_march<double>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                           b_rate, {n_times, times, row}, theta);
}
