// SPDX-License-Identifier: BSD-3-Clause
// Learned eigenvalues of given states. How the arguments arrive: flow.cuh.
#include <eigenflow/cuda/flow.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void flow_eigenvalue_f32(long long n, const float *z, long long z_stride,
                                               const float *lambda, long long lambda_stride,
                                               const float *b0, long long b0_stride, int depth,
                                               double b_rate, float *out) {
  cuda::flow_eigenvalue<float>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                               b_rate, out);
}

extern "C" __global__ void flow_eigenvalue_f64(long long n, const double *z, long long z_stride,
                                               const double *lambda, long long lambda_stride,
                                               const double *b0, long long b0_stride, int depth,
                                               double b_rate, double *out) {
  cuda::flow_eigenvalue<double>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                                b_rate, out);
}
