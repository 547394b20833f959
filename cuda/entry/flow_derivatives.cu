// SPDX-License-Identifier: BSD-3-Clause
// theta and its derivatives. How the arguments arrive: flow.cuh.
#include <eigenflow/cuda/flow.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void
flow_derivatives_f32(long long n, const float *z, long long z_stride, const float *lambda,
                     long long lambda_stride, const float *b0, long long b0_stride, int depth,
                     double b_rate, long long n_times, const double *times, const long long *row,
                     float *theta, float *d_z, float *d_eigenvalues, float *d_b0, float *d_times) {
  cuda::flow_derivatives<float>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                                b_rate, {n_times, times, row},
                                {theta, d_z, d_eigenvalues, d_b0, d_times});
}

extern "C" __global__ void flow_derivatives_f64(long long n, const double *z, long long z_stride,
                                                const double *lambda, long long lambda_stride,
                                                const double *b0, long long b0_stride, int depth,
                                                double b_rate, long long n_times,
                                                const double *times, const long long *row,
                                                double *theta, double *d_z, double *d_eigenvalues,
                                                double *d_b0, double *d_times) {
  cuda::flow_derivatives<double>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}},
                                 depth, b_rate, {n_times, times, row},
                                 {theta, d_z, d_eigenvalues, d_b0, d_times});
}
