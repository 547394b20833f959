// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cuda/flow.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void flow_closed_f32(long long n, const float *z, const float *lambda,
                                           long long n_times, const double *times,
                                           const long long *row, float *theta) {
  cuda::flow_closed(n, z, lambda, n_times, times, row, theta);
}

extern "C" __global__ void flow_closed_f64(long long n, const double *z, const double *lambda,
                                           long long n_times, const double *times,
                                           const long long *row, double *theta) {
  cuda::flow_closed(n, z, lambda, n_times, times, row, theta);
}

extern "C" __global__ void flow_vanilla_f32(long long n, const float *z, const float *lambda,
                                            long long n_times, const double *times,
                                            const long long *row, float *theta) {
  cuda::flow_vanilla(n, z, lambda, n_times, times, row, theta);
}

extern "C" __global__ void flow_vanilla_f64(long long n, const double *z, const double *lambda,
                                            long long n_times, const double *times,
                                            const long long *row, double *theta) {
  cuda::flow_vanilla(n, z, lambda, n_times, times, row, theta);
}

extern "C" __global__ void flow_march_f32(long long n, const float *z, const float *lambda,
                                          const float *b0, int depth, double b_rate,
                                          long long n_times, const double *times,
                                          const long long *row, float *theta) {
  cuda::flow_march(n, z, lambda, b0, depth, b_rate, n_times, times, row, theta);
}

extern "C" __global__ void flow_march_f64(long long n, const double *z, const double *lambda,
                                          const double *b0, int depth, double b_rate,
                                          long long n_times, const double *times,
                                          const long long *row, double *theta) {
  cuda::flow_march(n, z, lambda, b0, depth, b_rate, n_times, times, row, theta);
}
