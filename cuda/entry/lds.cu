// SPDX-License-Identifier: BSD-3-Clause
// Laws of each series by itself: lds.cuh. A null result is not wanted.
#include <eigenflow/cuda/lds.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void lds_filter(int n, int p, const double *A, const double *C,
                                      const double *Q, const double *R, const double *c,
                                      const double *d, long long n_steps, long long n_series,
                                      const double *y, const double *mean, long long mean_stride,
                                      const double *cov, long long cov_stride, double *filtered,
                                      double *predicted, double *predicted_cov,
                                      double *log_likelihood, double *last_mean, double *last_cov) {
  cuda::lds_filter({n, p, A, C, Q, R, c, d}, n_steps, n_series, y,
                   {mean, mean_stride, cov, cov_stride},
                   {filtered, predicted, predicted_cov, log_likelihood, last_mean, last_cov});
}

extern "C" __global__ void lds_smooth(int n, int p, const double *A, const double *C,
                                      const double *Q, const double *R, const double *c,
                                      const double *d, long long n_steps, long long n_series,
                                      const double *y, double *means, const double *covs) {
  cuda::lds_smooth({n, p, A, C, Q, R, c, d}, n_steps, n_series, y, means, covs);
}
