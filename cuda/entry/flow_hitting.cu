// SPDX-License-Identifier: BSD-3-Clause
// Hitting times. How the arguments arrive: flow.cuh.
#include <eigenflow/cuda/flow.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void flow_hitting_f32(long long n, const float *z, long long z_stride,
                                            const float *lambda, long long lambda_stride,
                                            const float *b0, long long b0_stride, int depth,
                                            double b_rate, long long n_fractions,
                                            const double *fractions, double *times) {
  cuda::flow_hitting<float>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                            b_rate, n_fractions, fractions, times);
}

extern "C" __global__ void flow_hitting_f64(long long n, const double *z, long long z_stride,
                                            const double *lambda, long long lambda_stride,
                                            const double *b0, long long b0_stride, int depth,
                                            double b_rate, long long n_fractions,
                                            const double *fractions, double *times) {
  cuda::flow_hitting<double>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                             b_rate, n_fractions, fractions, times);
}
