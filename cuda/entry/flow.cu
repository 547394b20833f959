// SPDX-License-Identifier: BSD-3-Clause
// Coordinates arrive as three pairs of a pointer and a stride (1, or 0 for one value that stands
// for all), times in rising order with the row of each. A null result is not wanted.
#include <eigenflow/cuda/flow.cuh>
#include <eigenflow/cuda/flow_descend.cuh>
#include <eigenflow/cuda/flow_risk.cuh>

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

extern "C" __global__ void flow_vanilla_f32(long long n, const float *z, long long z_stride,
                                            const float *lambda, long long lambda_stride,
                                            long long n_times, const double *times,
                                            const long long *row, float *theta) {
  cuda::flow_vanilla<float>({n, {z, z_stride}, {lambda, lambda_stride}, {}}, {n_times, times, row},
                            theta);
}

extern "C" __global__ void flow_vanilla_f64(long long n, const double *z, long long z_stride,
                                            const double *lambda, long long lambda_stride,
                                            long long n_times, const double *times,
                                            const long long *row, double *theta) {
  cuda::flow_vanilla<double>({n, {z, z_stride}, {lambda, lambda_stride}, {}}, {n_times, times, row},
                             theta);
}

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

extern "C" __global__ void flow_state_f32(long long n, const float *z, long long z_stride,
                                          const float *lambda, long long lambda_stride,
                                          const float *b0, long long b0_stride, int depth,
                                          double b_rate, long long n_times, const double *times,
                                          const long long *row, float *theta, float *residual,
                                          float *a, float *b, float *beta,
                                          float *learned_eigenvalues) {
  cuda::flow_state<float>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                          b_rate, {n_times, times, row},
                          {theta, residual, a, b, beta, learned_eigenvalues});
}

extern "C" __global__ void flow_state_f64(long long n, const double *z, long long z_stride,
                                          const double *lambda, long long lambda_stride,
                                          const double *b0, long long b0_stride, int depth,
                                          double b_rate, long long n_times, const double *times,
                                          const long long *row, double *theta, double *residual,
                                          double *a, double *b, double *beta,
                                          double *learned_eigenvalues) {
  cuda::flow_state<double>({n, {z, z_stride}, {lambda, lambda_stride}, {b0, b0_stride}}, depth,
                           b_rate, {n_times, times, row},
                           {theta, residual, a, b, beta, learned_eigenvalues});
}

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

extern "C" __global__ void sum_parts(long long rows, long long length, const double *in,
                                     double *out) {
  cuda::sum_parts(rows, length, in, out);
}
