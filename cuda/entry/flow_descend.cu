// SPDX-License-Identifier: BSD-3-Clause
// Steps of gradient descent. How the arguments arrive: flow.cuh.
#include <eigenflow/cuda/flow_descend.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void
flow_descend_f32(long long n, const float *z, long long z_stride, const float *lambda,
                 long long lambda_stride, const float *b0, long long b0_stride, int depth,
                 double b_rate, double step_size, long long from, long long to, long long n_record,
                 const long long *record, const long long *row, double *state_a, double *state_b,
                 double *state_beta, long long *diverged, float *theta, float *residual, float *a,
                 float *b, float *beta, float *learned_eigenvalues) {
  cuda::flow_descend<float>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                            b_rate, {step_size, from, to, n_record, record, row},
                            {state_a, state_b, state_beta, diverged},
                            {theta, residual, a, b, beta, learned_eigenvalues});
}

extern "C" __global__ void
flow_descend_f64(long long n, const double *z, long long z_stride, const double *lambda,
                 long long lambda_stride, const double *b0, long long b0_stride, int depth,
                 double b_rate, double step_size, long long from, long long to, long long n_record,
                 const long long *record, const long long *row, double *state_a, double *state_b,
                 double *state_beta, long long *diverged, double *theta, double *residual,
                 double *a, double *b, double *beta, double *learned_eigenvalues) {
  cuda::flow_descend<double>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                             b_rate, {step_size, from, to, n_record, record, row},
                             {state_a, state_b, state_beta, diverged},
                             {theta, residual, a, b, beta, learned_eigenvalues});
}
