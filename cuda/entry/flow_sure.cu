// SPDX-License-Identifier: BSD-3-Clause
// Stein's unbiased risk in lanes, and the tree that sums them. How the arguments arrive: flow.cuh.
#include <eigenflow/cuda/flow_risk.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void flow_sure_f32(long long n, const float *z, long long z_stride,
                                         const float *lambda, long long lambda_stride,
                                         const float *b0, long long b0_stride, int depth,
                                         double b_rate, const float *variance,
                                         long long variance_stride, long long cols, long long tile,
                                         long long n_times, const double *times,
                                         const long long *row, double *lanes) {
  cuda::flow_sure<float>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}},
                         {variance, variance_stride}, depth, b_rate, cols, tile,
                         {n_times, times, row}, lanes);
}

extern "C" __global__ void flow_sure_f64(long long n, const double *z, long long z_stride,
                                         const double *lambda, long long lambda_stride,
                                         const double *b0, long long b0_stride, int depth,
                                         double b_rate, const double *variance,
                                         long long variance_stride, long long cols, long long tile,
                                         long long n_times, const double *times,
                                         const long long *row, double *lanes) {
  cuda::flow_sure<double>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}},
                          {variance, variance_stride}, depth, b_rate, cols, tile,
                          {n_times, times, row}, lanes);
}

extern "C" __global__ void sum_parts(long long rows, long long length, const double *in,
                                     double *out) {
  cuda::sum_parts(rows, length, in, out);
}
