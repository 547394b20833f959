// SPDX-License-Identifier: BSD-3-Clause
// Offsets are off y already in the steady kernels. A null result is not wanted.
#include <eigenflow/cuda/lds.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void lds_filter(int n, int p, const double *A, const double *C,
                                      const double *Q, const double *R, const double *c,
                                      const double *d, long long n_steps, long long n_series,
                                      const double *y, const double *mean, const double *cov,
                                      double *filtered, double *predicted, double *predicted_cov,
                                      double *log_likelihood, double *last_mean, double *last_cov) {
  cuda::lds_filter({n, p, A, C, Q, R, c, d}, n_steps, n_series, y, mean, cov,
                   {filtered, predicted, predicted_cov, log_likelihood, last_mean, last_cov});
}

extern "C" __global__ void lds_smooth(int n, int p, const double *A, const double *C,
                                      const double *Q, const double *R, const double *c,
                                      const double *d, long long n_steps, long long n_series,
                                      const double *y, double *means, const double *covs) {
  cuda::lds_smooth({n, p, A, C, Q, R, c, d}, n_steps, n_series, y, means, covs);
}

extern "C" __global__ void lds_steady_ends(int n, int p, const double *F, const double *L,
                                           const double *c, const double *C, const double *K,
                                           const double *whiten, long long length,
                                           long long n_chunks, long long skip, const double *y,
                                           double *ends) {
  cuda::lds_steady_ends({n, p, F, L, c, C, K, whiten}, length, n_chunks, skip, y, ends);
}

extern "C" __global__ void
lds_steady_filter(int n, int p, const double *F, const double *L, const double *c, const double *C,
                  const double *K, const double *whiten, long long length, long long n_chunks,
                  const double *y, const double *starts, double *filtered, double *squares) {
  cuda::lds_steady_filter({n, p, F, L, c, C, K, whiten}, length, n_chunks, y, starts, filtered,
                          squares);
}
