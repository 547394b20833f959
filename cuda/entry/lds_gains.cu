// SPDX-License-Identifier: BSD-3-Clause
// Known gains: how the arguments arrive is in lds_gains.cuh. A null result is not wanted.
#include <eigenflow/cuda/lds_gains.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void lds_gain_filter(int n, int p, const double *A, const double *C,
                                           const double *c, const double *d, long long n_gains,
                                           const double *K, const double *whiten, long long n_steps,
                                           long long n_series, const double *y,
                                           const double *starts, long long stride, double *filtered,
                                           double *predicted, double *squares, double *last) {
  const cuda::lds_known known{n, p, A, C, c, d, n_gains, K, whiten, nullptr};
  cuda::lds_by_size(
      n, p,
      cuda::lds_gain_filter{
          known, n_steps, n_series, y, starts, stride, {filtered, predicted, squares, last}});
}

extern "C" __global__ void lds_gain_smooth(int n, int p, const double *A, const double *C,
                                           const double *c, const double *d, long long n_gains,
                                           const double *K, const double *whiten, const double *cov,
                                           long long n_steps, long long n_series, const double *y,
                                           double *means) {
  const cuda::lds_known known{n, p, A, C, c, d, n_gains, K, whiten, cov};
  cuda::lds_by_size(n, p, cuda::lds_gain_smooth{known, n_steps, n_series, y, means});
}

extern "C" __global__ void lds_walk(int n, const double *F, long long length, long long n_rows,
                                    const double *e, const double *starts, double *walked,
                                    double *last) {
  cuda::lds_walk(n, F, length, n_rows, e, starts, walked, last);
}
