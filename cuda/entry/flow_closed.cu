// SPDX-License-Identifier: BSD-3-Clause
// theta at depth 0. How the arguments arrive: flow.cuh.
#include <eigenflow/cuda/flow.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void flow_closed_f32(long long n, const float *z, long long z_stride,
                                           const float *lambda, long long lambda_stride,
                                           long long n_times, const double *times,
                                           const long long *row, float *theta) {
  cuda::flow_closed<float>({n, {z, z_stride}, {lambda, lambda_stride}, {}}, {n_times, times, row},
                           theta);
}

extern "C" __global__ void flow_closed_f64(long long n, const double *z, long long z_stride,
                                           const double *lambda, long long lambda_stride,
                                           long long n_times, const double *times,
                                           const long long *row, double *theta) {
  cuda::flow_closed<double>({n, {z, z_stride}, {lambda, lambda_stride}, {}}, {n_times, times, row},
                            theta);
}
