// SPDX-License-Identifier: BSD-3-Clause
// Known gains: how the arguments arrive is in lds_gains.cuh. A null result is not wanted. The ones
// that end in `more` are for 5 to 8 states with one or two observed numbers.
#include <eigenflow/cuda/lds_gains.cuh>

namespace cuda = eigenflow::cuda;

extern "C" __global__ void lds_gain_filter(int n, int p, const double *A, const double *C,
                                           const double *c, const double *d, long long n_gains,
                                           const double *K, const double *whiten, long long n_steps,
                                           long long n_series, const double *y,
                                           const double *starts, long long stride, double *filtered,
                                           double *predicted, double *squares, double *last) {
  __shared__ double stage[2 * cuda::lds_stage];
  const cuda::lds_known known{n, p, A, C, c, d, n_gains, K, whiten, nullptr};
  cuda::lds_for_few(n, p,
                    cuda::lds_gain_filter{known,
                                          n_steps,
                                          n_series,
                                          y,
                                          starts,
                                          stride,
                                          {filtered, predicted, squares, last},
                                          stage});
}

extern "C" __global__ void lds_gain_filter_more(int n, int p, const double *A, const double *C,
                                                const double *c, const double *d, long long n_gains,
                                                const double *K, const double *whiten,
                                                long long n_steps, long long n_series,
                                                const double *y, const double *starts,
                                                long long stride, double *filtered,
                                                double *predicted, double *squares, double *last) {
  __shared__ double stage[2 * cuda::lds_stage];
  const cuda::lds_known known{n, p, A, C, c, d, n_gains, K, whiten, nullptr};
  cuda::lds_for_more(n, p,
                     cuda::lds_gain_filter{known,
                                           n_steps,
                                           n_series,
                                           y,
                                           starts,
                                           stride,
                                           {filtered, predicted, squares, last},
                                           stage});
}

extern "C" __global__ void lds_gain_smooth(int n, int p, const double *A, const double *C,
                                           const double *c, const double *d, long long n_gains,
                                           const double *K, const double *whiten, const double *cov,
                                           long long n_steps, long long n_series, const double *y,
                                           double *means) {
  const cuda::lds_known known{n, p, A, C, c, d, n_gains, K, whiten, cov};
  cuda::lds_for_few(n, p, cuda::lds_gain_smooth{known, n_steps, n_series, y, means});
}

extern "C" __global__ void lds_gain_smooth_more(int n, int p, const double *A, const double *C,
                                                const double *c, const double *d, long long n_gains,
                                                const double *K, const double *whiten,
                                                const double *cov, long long n_steps,
                                                long long n_series, const double *y,
                                                double *means) {
  const cuda::lds_known known{n, p, A, C, c, d, n_gains, K, whiten, cov};
  cuda::lds_for_more(n, p, cuda::lds_gain_smooth{known, n_steps, n_series, y, means});
}

extern "C" __global__ void lds_walk(int n, const double *F, long long length, long long n_rows,
                                    const double *e, const double *starts, double *walked,
                                    double *last) {
  cuda::lds_walk(n, F, length, n_rows, e, starts, walked, last);
}
