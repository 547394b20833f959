// SPDX-License-Identifier: BSD-3-Clause
// Many series with gaps, one a thread, each with its own covariances. Arrays are (series, T,
// width): a thread reads on from where it is, and the first cache holds the lines of its neighbours
// until they are used up. Series without gaps share their gains: lds_gains.cuh.
#pragma once

#include <eigenflow/cuda/grid.cuh>
#include <eigenflow/hd/lds.hpp>

namespace eigenflow::cuda {

inline constexpr int lds_most = 16; // states, and observed numbers of a step

// One system for all series, row-major; R is diagonal.
struct lds_system {
  int n, p;
  const double *A, *C, *Q, *R, *c, *d;
};

// Laws before the first step; with a stride of 0 all series have one.
struct lds_start {
  const double *mean;
  hd::int64 mean_stride;
  const double *cov;
  hd::int64 cov_stride;
};

// Entry (t, i) of series s.
template <class T> struct lds_rows {
  T *data;
  int width;
  hd::int64 n_steps;
  __device__ T &at(hd::int64 t, int i, hd::int64 s) const {
    return data[(s * n_steps + t) * width + i];
  }
};

template <int most>
__device__ inline void lds_read(int n, const double *mean, const double *cov,
                                hd::lds_law<most> &law) {
  for (int i = 0; i < n; ++i)
    law.mean[i] = mean[i];
  for (int i = 0; i < n * n; ++i)
    law.cov[i] = cov[i];
}

// Conditions on row t; NaN is missing. Returns -2 log density.
template <int most>
__device__ inline double lds_row(const lds_system &m, int n, const lds_rows<const double> &y,
                                 hd::int64 t, hd::int64 s, hd::lds_law<most> &law) {
  double total = 0;
  for (int k = 0; k < m.p; ++k) {
    const double value = y.at(t, k, s) - m.d[k];
    if (!(value == value))
      continue;
    hd::lds_update<most> u;
    hd::lds_observe(n, law, m.C + k * n, m.R[k], value, u);
    total += hd::lds_condition(n, m.C + k * n, m.R[k], u, law);
  }
  return total;
}

// The first three are not written where null; `last` is the law after the last step;
// predicted_cov is packed as its lower triangle for the smoother.
struct lds_outputs {
  double *filtered, *predicted, *predicted_cov, *log_likelihood, *last_mean, *last_cov;
};

template <int most>
__device__ inline void lds_filter_series(const lds_system &m, int n, hd::int64 n_steps,
                                         const lds_rows<const double> &y, hd::int64 s,
                                         hd::lds_law<most> law, const lds_outputs &out) {
  const lds_rows<double> filtered{out.filtered, n, n_steps};
  const lds_rows<double> predicted{out.predicted, n, n_steps};
  const lds_rows<double> covs{out.predicted_cov, n * (n + 1) / 2, n_steps};
  double total = 0;
  for (hd::int64 t = 0; t < n_steps; ++t) {
    for (int i = 0; i < n && out.predicted != nullptr; ++i)
      predicted.at(t, i, s) = law.mean[i];
    for (int i = 0; i < n && out.predicted_cov != nullptr; ++i)
      for (int j = 0; j <= i; ++j)
        covs.at(t, i * (i + 1) / 2 + j, s) = law.cov[i * n + j];
    total += lds_row(m, n, y, t, s, law);
    for (int i = 0; i < n && out.filtered != nullptr; ++i)
      filtered.at(t, i, s) = law.mean[i];
    hd::lds_predict(n, m.A, m.c, m.Q, law);
  }
  out.log_likelihood[s] = -0.5 * total;
  for (int i = 0; i < n; ++i)
    out.last_mean[s * n + i] = law.mean[i];
  for (int i = 0; i < n * n; ++i)
    out.last_cov[s * n * n + i] = law.cov[i];
}

// From the predicted laws to smoothed means, in place of the predicted means.
template <int most>
__device__ inline void lds_smooth_series(const lds_system &m, int n, hd::int64 n_steps,
                                         const lds_rows<const double> &y, hd::int64 s,
                                         double *means, const double *covariances) {
  const lds_rows<double> mean{means, n, n_steps};
  const lds_rows<const double> cov{covariances, n * (n + 1) / 2, n_steps};
  double r[most] = {};
  for (hd::int64 t = n_steps - 1; t >= 0; --t) {
    hd::lds_law<most> before;
    for (int i = 0; i < n; ++i) {
      before.mean[i] = mean.at(t, i, s);
      for (int j = 0; j <= i; ++j)
        before.cov[i * n + j] = before.cov[j * n + i] = cov.at(t, i * (i + 1) / 2 + j, s);
    }
    hd::lds_retreat<most>(n, m.A, r);
    // The updates of a row are undone from the last: each is found again from the law before.
    for (int last = m.p - 1; last >= 0; --last) {
      const double value = y.at(t, last, s) - m.d[last];
      if (!(value == value))
        continue;
      hd::lds_law<most> law = before;
      hd::lds_update<most> u;
      for (int k = 0; k <= last; ++k) {
        const double number = y.at(t, k, s) - m.d[k];
        if (!(number == number))
          continue;
        hd::lds_observe(n, law, m.C + k * n, m.R[k], number, u);
        if (k < last)
          hd::lds_condition(n, m.C + k * n, m.R[k], u, law);
      }
      hd::lds_unlearn(n, m.C + last * n, u, r);
    }
    for (int i = 0; i < n; ++i) {
      double sum = before.mean[i];
      for (int j = 0; j < n; ++j)
        sum = hd::fma(before.cov[i * n + j], r[j], sum);
      mean.at(t, i, s) = sum;
    }
  }
}

// Small systems are compiled for their size, so that laws live in registers.
template <int n>
__device__ inline void
lds_filter_sized(const lds_system &m, hd::int64 n_steps, const lds_rows<const double> &y,
                 hd::int64 s, const double *mean, const double *cov, const lds_outputs &out) {
  hd::lds_law<n> law;
  lds_read(n, mean, cov, law);
  lds_filter_series<n>(m, n, n_steps, y, s, law, out);
}

__device__ inline void lds_filter(const lds_system &m, hd::int64 n_steps, hd::int64 n_series,
                                  const double *y, const lds_start &start, const lds_outputs &out) {
  const lds_rows<const double> rows{y, m.p, n_steps};
  for (hd::int64 s = first_index(); s < n_series; s += grid_stride()) {
    const double *mean = start.mean + s * start.mean_stride;
    const double *cov = start.cov + s * start.cov_stride;
    if (m.n == 1)
      lds_filter_sized<1>(m, n_steps, rows, s, mean, cov, out);
    else if (m.n == 2)
      lds_filter_sized<2>(m, n_steps, rows, s, mean, cov, out);
    else if (m.n == 3)
      lds_filter_sized<3>(m, n_steps, rows, s, mean, cov, out);
    else if (m.n == 4)
      lds_filter_sized<4>(m, n_steps, rows, s, mean, cov, out);
    else if (m.n == 6)
      lds_filter_sized<6>(m, n_steps, rows, s, mean, cov, out);
    else if (m.n == 8)
      lds_filter_sized<8>(m, n_steps, rows, s, mean, cov, out);
    else {
      hd::lds_law<lds_most> law;
      lds_read(m.n, mean, cov, law);
      lds_filter_series<lds_most>(m, m.n, n_steps, rows, s, law, out);
    }
  }
}

__device__ inline void lds_smooth(const lds_system &m, hd::int64 n_steps, hd::int64 n_series,
                                  const double *y, double *means, const double *covs) {
  const lds_rows<const double> rows{y, m.p, n_steps};
  for (hd::int64 s = first_index(); s < n_series; s += grid_stride()) {
    if (m.n == 1)
      lds_smooth_series<1>(m, 1, n_steps, rows, s, means, covs);
    else if (m.n == 2)
      lds_smooth_series<2>(m, 2, n_steps, rows, s, means, covs);
    else if (m.n == 3)
      lds_smooth_series<3>(m, 3, n_steps, rows, s, means, covs);
    else if (m.n == 4)
      lds_smooth_series<4>(m, 4, n_steps, rows, s, means, covs);
    else
      lds_smooth_series<lds_most>(m, m.n, n_steps, rows, s, means, covs);
  }
}

} // namespace eigenflow::cuda
