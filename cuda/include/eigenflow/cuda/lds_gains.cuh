// SPDX-License-Identifier: BSD-3-Clause
// The filter and the smoother of means under known gains, one series a thread: many series without
// gaps, which share their gains, or the chunks of one long series after its covariance is steady.
// Arrays are (series, T, width).
#pragma once

#include <eigenflow/cuda/lds.cuh>

namespace eigenflow::cuda {

// What all series share, row-major. There are `n_gains` steps of gains K (n x p), of inverse
// Cholesky factors of the innovation covariance (p x p), and for the smoother of predicted
// covariances (n x n); later steps have the last.
struct lds_known {
  int n, p;
  const double *A, *C, *c, *d;
  hd::int64 n_gains;
  const double *K, *whiten, *cov;
};

// Numbers that a thread holds in registers, where there are few; else a view of them.
template <int count> struct lds_held {
  double values[count];
  __device__ void read(const double *from, int) {
    for (int i = 0; i < count; ++i)
      values[i] = from[i];
  }
  __device__ double operator[](int i) const { return values[i]; }
};

template <> struct lds_held<0> {
  const double *values;
  __device__ void read(const double *from, int) { values = from; }
  __device__ double operator[](int i) const { return values[i]; }
};

// One step of a system whose sizes are known to the compiler, or 0.
template <int n_fixed, int p_fixed> struct lds_gain_step {
  static constexpr int most_n = n_fixed > 0 ? n_fixed : lds_most;
  static constexpr int most_p = p_fixed > 0 ? p_fixed : lds_most;
  static constexpr int few = n_fixed > 0 && n_fixed <= 4 && p_fixed > 0 ? 1 : 0;

  const lds_known &in;
  lds_held<few * n_fixed * n_fixed> A;
  lds_held<few * n_fixed * p_fixed> C, K;
  lds_held<few * p_fixed * p_fixed> whiten;
  hd::int64 gain = -1;

  __device__ explicit lds_gain_step(const lds_known &known) : in(known) {
    A.read(in.A, 0);
    C.read(in.C, 0);
  }

  __device__ int n() const { return n_fixed > 0 ? n_fixed : in.n; }
  __device__ int p() const { return p_fixed > 0 ? p_fixed : in.p; }

  // Must come before the functions below, for each step.
  __device__ void at(hd::int64 t) {
    const hd::int64 wanted = t < in.n_gains ? t : in.n_gains - 1;
    if (wanted == gain)
      return;
    gain = wanted;
    K.read(in.K + gain * n() * p(), 0);
    whiten.read(in.whiten + gain * p() * p(), 0);
  }

  // v = y - d - C x.
  __device__ void innovation(const double *y, const double *x, double *v) const {
    for (int k = 0; k < p(); ++k) {
      v[k] = y[k] - in.d[k];
      for (int j = 0; j < n(); ++j)
        v[k] = hd::fma(-C[k * n() + j], x[j], v[k]);
    }
  }

  // e = whiten v; returns its square.
  __device__ double standardise(const double *v, double *e) const {
    double square = 0;
    for (int k = 0; k < p(); ++k) {
      e[k] = 0;
      for (int j = 0; j <= k; ++j)
        e[k] = hd::fma(whiten[k * p() + j], v[j], e[k]);
      square = hd::fma(e[k], e[k], square);
    }
    return square;
  }

  // x <- x + K v.
  __device__ void learn(const double *v, double *x) const {
    for (int i = 0; i < n(); ++i)
      for (int k = 0; k < p(); ++k)
        x[i] = hd::fma(K[i * p() + k], v[k], x[i]);
  }

  // x <- A x + c.
  __device__ void move(double *x) const {
    double next[most_n];
    for (int i = 0; i < n(); ++i) {
      next[i] = in.c[i];
      for (int j = 0; j < n(); ++j)
        next[i] = hd::fma(A[i * n() + j], x[j], next[i]);
    }
    for (int i = 0; i < n(); ++i)
      x[i] = next[i];
  }

  // r <- C' S^-1 v + (I - K C)' A' r.
  __device__ void retreat(const double *v, double *r) const {
    double back[most_n], e[most_p], u[most_p];
    standardise(v, e);
    for (int j = 0; j < n(); ++j) {
      back[j] = 0;
      for (int i = 0; i < n(); ++i)
        back[j] = hd::fma(A[i * n() + j], r[i], back[j]);
    }
    for (int k = 0; k < p(); ++k) {
      u[k] = 0;
      for (int j = k; j < p(); ++j)
        u[k] = hd::fma(whiten[j * p() + k], e[j], u[k]);
      for (int i = 0; i < n(); ++i)
        u[k] = hd::fma(-K[i * p() + k], back[i], u[k]);
    }
    for (int j = 0; j < n(); ++j) {
      r[j] = back[j];
      for (int k = 0; k < p(); ++k)
        r[j] = hd::fma(C[k * n() + j], u[k], r[j]);
    }
  }
};

// Null is not wanted. `squares`: the sum of squared standardised innovations; `last`: the predicted
// mean after the last step.
struct lds_means {
  double *filtered, *predicted, *squares, *last;
};

// A block collects the rows of a few steps of its series and then writes them together: whole
// lines of memory, where a thread by itself would write some bytes of many.
constexpr int lds_block = 64, lds_pitch = 17, lds_stage = lds_block * lds_pitch;

__device__ inline void lds_put(int n, const double *x, double *to, hd::int64 row) {
  for (int i = 0; i < n && to != nullptr; ++i)
    to[row * n + i] = x[i];
}

// Steps `first` to `first + count` of the series from `base`; all threads of the block come here.
__device__ inline void lds_flush(int n, const double *stage, hd::int64 base, hd::int64 n_series,
                                 hd::int64 n_steps, hd::int64 first, int count, double *to) {
  if (to == nullptr)
    return;
  const int width = count * n;
  const hd::int64 left = n_series - base;
  const int here = left < blockDim.x ? static_cast<int>(left) : static_cast<int>(blockDim.x);
  for (int at = static_cast<int>(threadIdx.x); at < here * width; at += blockDim.x)
    to[((base + at / width) * n_steps + first) * n + at % width] =
        stage[at / width * lds_pitch + at % width];
}

// Starts are (series, n) with a stride of n, or of 0 for one that is common, or null for zero.
// A few rows are read at once, so that their loads overlap. `stage` holds 2 lds_stage numbers.
template <int n, int p>
__device__ inline void lds_gain_filter_sized(const lds_known &in, hd::int64 n_steps, hd::int64 base,
                                             hd::int64 n_series, const double *y,
                                             const double *starts, hd::int64 stride,
                                             const lds_means &out, double *stage) {
  using step = lds_gain_step<n, p>;
  constexpr int at_once = n > 0 ? (lds_pitch - 1) / n : 1;
  const hd::int64 s = base + threadIdx.x;
  const bool active = s < n_series;
  step f(in);
  double x[step::most_n], v[step::most_p], e[step::most_p], rows[at_once * step::most_p], sum = 0;
  for (int i = 0; i < f.n(); ++i)
    x[i] = active && starts != nullptr ? starts[s * stride + i] : 0.0;
  const double *series = y + s * n_steps * f.p();
  double *filtered = stage + threadIdx.x * lds_pitch, *predicted = filtered + lds_stage;
  for (hd::int64 first = 0; first < n_steps; first += at_once) {
    const int count = static_cast<int>(n_steps - first < at_once ? n_steps - first : at_once);
    for (int i = 0; i < at_once * f.p(); ++i)
      rows[i] = active && i < count * f.p() ? series[first * f.p() + i] : 0.0;
    for (int j = 0; j < at_once; ++j) {
      if (j >= count)
        break;
      f.at(first + j);
      lds_put(f.n(), x, out.predicted != nullptr ? predicted : nullptr, j);
      f.innovation(rows + j * f.p(), x, v);
      sum += f.standardise(v, e);
      f.learn(v, x);
      lds_put(f.n(), x, out.filtered != nullptr ? filtered : nullptr, j);
      f.move(x);
    }
    if (out.filtered == nullptr && out.predicted == nullptr)
      continue;
    __syncthreads();
    lds_flush(f.n(), stage, base, n_series, n_steps, first, count, out.filtered);
    lds_flush(f.n(), stage + lds_stage, base, n_series, n_steps, first, count, out.predicted);
    __syncthreads();
  }
  if (active)
    lds_put(f.n(), x, out.last, s);
  if (active && out.squares != nullptr)
    out.squares[s] = sum;
}

// From predicted to smoothed means, in place.
template <int n, int p>
__device__ inline void lds_gain_smooth_sized(const lds_known &in, hd::int64 n_steps, hd::int64 s,
                                             const double *y, double *means) {
  using step = lds_gain_step<n, p>;
  step f(in);
  double r[step::most_n] = {}, x[step::most_n], v[step::most_p];
  for (hd::int64 t = n_steps - 1; t >= 0; --t) {
    const hd::int64 row = s * n_steps + t;
    f.at(t);
    for (int i = 0; i < f.n(); ++i)
      x[i] = means[row * f.n() + i];
    f.innovation(y + row * f.p(), x, v);
    f.retreat(v, r);
    const double *cov = in.cov + f.gain * f.n() * f.n();
    for (int i = 0; i < f.n(); ++i) {
      double sum = x[i];
      for (int j = 0; j < f.n(); ++j)
        sum = hd::fma(cov[i * f.n() + j], r[j], sum);
      means[row * f.n() + i] = sum;
    }
  }
}

// Call work.run<n, p>() with sizes that the compiler knows, for few states and for more: kernels
// for few need half of the registers. Other sizes are found at run time, by the first.
template <int p, class Work> __device__ inline void lds_by_few_states(int n, Work &&work) {
  switch (n) {
  case 1:
    return work.template run<1, p>();
  case 2:
    return work.template run<2, p>();
  case 3:
    return work.template run<3, p>();
  case 4:
    return work.template run<4, p>();
  default:
    return work.template run<0, 0>();
  }
}

template <int p, class Work> __device__ inline void lds_by_more_states(int n, Work &&work) {
  switch (n) {
  case 5:
    return work.template run<5, p>();
  case 6:
    return work.template run<6, p>();
  case 7:
    return work.template run<7, p>();
  default:
    return work.template run<8, p>();
  }
}

template <class Work> __device__ inline void lds_for_few(int n, int p, Work &&work) {
  if (p == 1)
    lds_by_few_states<1>(n, work);
  else if (p == 2)
    lds_by_few_states<2>(n, work);
  else
    work.template run<0, 0>();
}

template <class Work> __device__ inline void lds_for_more(int n, int p, Work &&work) {
  if (p == 1)
    lds_by_more_states<1>(n, work);
  else
    lds_by_more_states<2>(n, work);
}

struct lds_gain_filter {
  const lds_known &in;
  hd::int64 n_steps, n_series;
  const double *y, *starts;
  hd::int64 stride;
  lds_means out;
  double *stage;

  template <int n, int p> __device__ void run() const {
    const hd::int64 first = static_cast<hd::int64>(blockIdx.x) * blockDim.x;
    for (hd::int64 base = first; base < n_series; base += grid_stride())
      lds_gain_filter_sized<n, p>(in, n_steps, base, n_series, y, starts, stride, out, stage);
  }
};

struct lds_gain_smooth {
  const lds_known &in;
  hd::int64 n_steps, n_series;
  const double *y;
  double *means;

  template <int n, int p> __device__ void run() const {
    for (hd::int64 s = first_index(); s < n_series; s += grid_stride())
      lds_gain_smooth_sized<n, p>(in, n_steps, s, y, means);
  }
};

// x <- F x + e_t along each of the series of `length` rows, of which the last may be shorter; `e`
// is (n_rows, n). Writes x before each step, and the last one of each series. How chunks of time
// start: F is the power that leads over a chunk, and e what the chunk adds.
__device__ inline void lds_walk(int n, const double *F, hd::int64 length, hd::int64 n_rows,
                                const double *e, const double *starts, double *walked,
                                double *last) {
  const hd::int64 n_series = (n_rows + length - 1) / length;
  for (hd::int64 s = first_index(); s < n_series; s += grid_stride()) {
    double x[lds_most], next[lds_most];
    for (int i = 0; i < n; ++i)
      x[i] = starts != nullptr ? starts[s * n + i] : 0.0;
    const hd::int64 end = (s + 1) * length < n_rows ? (s + 1) * length : n_rows;
    for (hd::int64 row = s * length; row < end; ++row) {
      lds_put(n, x, walked, row);
      for (int i = 0; i < n; ++i) {
        next[i] = e[row * n + i];
        for (int j = 0; j < n; ++j)
          next[i] = hd::fma(F[i * n + j], x[j], next[i]);
      }
      for (int i = 0; i < n; ++i)
        x[i] = next[i];
    }
    lds_put(n, x, last, s);
  }
}

} // namespace eigenflow::cuda
