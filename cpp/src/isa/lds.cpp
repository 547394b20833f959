// SPDX-License-Identifier: BSD-3-Clause
#include "lds_interleave.hpp"

#include "vectors.hpp"

namespace {

using eigenflow::isa::lds_adjoint;
using eigenflow::isa::lds_gain;
using eigenflow::isa::lds_lanes;
using eigenflow::isa::lds_max_dim;
using eigenflow::isa::lds_tile;
using std::int64_t;
namespace hd = eigenflow::hd;
namespace simd = eigenflow::isa::EF_LEVEL_NS;

// The state stays in registers only if the loop over vectors is unrolled.
#if defined(__clang__)
#define EF_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define EF_UNROLL _Pragma("GCC unroll 8")
#else
#define EF_UNROLL
#endif

using vec = decltype(simd::broadcast(0.0));
constexpr int width = simd::vector_bytes / static_cast<int>(sizeof(double));
constexpr int n_vectors = lds_lanes / width;

// A row of `count` numbers for `width` lanes.
template <int count> struct column {
  vec at[count];
};

template <int N> EF_HD void load(const double *x, int lane, column<N> &r) {
  for (int i = 0; i < N; ++i)
    r.at[i] = simd::load(x + i * lds_lanes + lane);
}

template <int N> EF_HD void store(const column<N> &r, double *x, int lane) {
  for (int i = 0; i < N; ++i)
    simd::store(x + i * lds_lanes + lane, r.at[i]);
}

// What y adds comes first: it does not wait for the step before. The state comes in two sums, since
// a chain of additions would be what the next step waits for.
template <int N, int P>
EF_HD void move_state(const lds_gain &g, const column<P> &y, const double *drive, column<N> &x) {
  column<N> next;
  for (int i = 0; i < N; ++i) {
    vec sum = drive == nullptr ? simd::broadcast(g.c[i]) : simd::load(drive + i * lds_lanes);
    for (int k = 0; k < P; ++k)
      sum = simd::fma(simd::broadcast(g.L[i * P + k]), y.at[k], sum);
    constexpr int half = N < 4 ? N : (N + 1) / 2;
    for (int j = 0; j < half; ++j)
      sum = simd::fma(simd::broadcast(g.F[i * N + j]), x.at[j], sum);
    if (half < N) {
      vec rest = simd::broadcast(0.0);
      for (int j = half; j < N; ++j)
        rest = simd::fma(simd::broadcast(g.F[i * N + j]), x.at[j], rest);
      sum = simd::add(sum, rest);
    }
    next.at[i] = sum;
  }
  x = next;
}

// Innovations, and `total` plus their squared standardised size.
template <int N, int P>
EF_HD vec innovate(const lds_gain &g, const column<P> &y, const column<N> &x, column<P> &v,
                   vec total) {
  for (int k = 0; k < P; ++k) {
    v.at[k] = y.at[k];
    for (int j = 0; j < N; ++j)
      v.at[k] = simd::fma(simd::broadcast(g.C[k * N + j]), x.at[j], v.at[k]);
    vec e = simd::broadcast(0.0);
    for (int j = 0; j <= k; ++j)
      e = simd::fma(simd::broadcast(g.whiten[k * P + j]), v.at[j], e);
    total = simd::fma(e, e, total);
  }
  return total;
}

template <int N, int P>
EF_HD void filter_state(const lds_gain &g, const column<N> &x, const column<P> &v, column<N> &f) {
  for (int i = 0; i < N; ++i) {
    f.at[i] = x.at[i];
    for (int k = 0; k < P; ++k)
      f.at[i] = simd::fma(simd::broadcast(g.K[i * P + k]), v.at[k], f.at[i]);
  }
}

// Copies of the small matrices that the compiler knows nobody else writes to.
template <int N, int P> struct gain_copy {
  double F[N * N], L[N * P], c[N], C[P * N], K[N * P], whiten[P * P];
  explicit gain_copy(const lds_gain &g) {
    copy(g.F, F, N * N);
    copy(g.L, L, N * P);
    copy(g.c, c, N);
    copy(g.C, C, P * N);
    for (double &c_kj : C) // innovations take C x off
      c_kj = -c_kj;
    copy(g.K, K, N * P);
    copy(g.whiten, whiten, P * P);
  }
  lds_gain view() const { return {N, P, F, L, c, C, K, whiten}; }

private:
  static void copy(const double *from, double *to, int count) {
    for (int i = 0; i < count; ++i)
      to[i] = from[i];
  }
};

template <int N, int P>
void advance(const lds_gain &gain, const double *y, const double *drive, int64_t steps,
             double *state) {
  const gain_copy<N, P> own(gain);
  const lds_gain g = own.view();
  column<N> x[n_vectors];
  for (int b = 0; b < n_vectors; ++b)
    load<N>(state, b * width, x[b]);
  for (int64_t s = 0; s < steps; ++s)
    EF_UNROLL
  for (int b = 0; b < n_vectors; ++b) {
    column<P> row;
    load<P>(y + s * P * lds_lanes, b * width, row);
    const double *push = drive == nullptr ? nullptr : drive + s * N * lds_lanes + b * width;
    move_state<N, P>(g, row, push, x[b]);
  }
  for (int b = 0; b < n_vectors; ++b)
    store<N>(x[b], state, b * width);
}

template <int N, int P>
void observe(const lds_gain &gain, const double *y, const double *drive, int64_t steps,
             double *state, const lds_tile &out, double *sums) {
  const gain_copy<N, P> own(gain);
  const lds_gain g = own.view();
  column<N> x[n_vectors];
  vec total[n_vectors];
  for (int b = 0; b < n_vectors; ++b) {
    load<N>(state, b * width, x[b]);
    total[b] = simd::load(sums + b * width);
  }
  for (int64_t s = 0; s < steps; ++s)
    EF_UNROLL
  for (int b = 0; b < n_vectors; ++b) {
    const int lane = b * width;
    column<P> row, v;
    load<P>(y + s * P * lds_lanes, lane, row);
    const vec square = innovate<N, P>(g, row, x[b], v, simd::broadcast(0.0));
    total[b] = simd::add(total[b], square);
    if (out.predicted != nullptr)
      store<N>(x[b], out.predicted + s * N * lds_lanes, lane);
    if (out.filtered != nullptr) {
      column<N> filtered;
      filter_state<N, P>(g, x[b], v, filtered);
      store<N>(filtered, out.filtered + s * N * lds_lanes, lane);
    }
    if (out.innovations != nullptr)
      store<P>(v, out.innovations + s * P * lds_lanes, lane);
    if (out.squares != nullptr)
      simd::store(out.squares + s * lds_lanes + lane, square);
    const double *push = drive == nullptr ? nullptr : drive + s * N * lds_lanes + lane;
    move_state<N, P>(g, row, push, x[b]);
  }
  for (int b = 0; b < n_vectors; ++b) {
    store<N>(x[b], state, b * width);
    simd::store(sums + b * width, total[b]);
  }
}

// out += sign a x over all lanes, a of m x n with rows `stride` apart.
EF_HD void add_product(int64_t m, int64_t n, const double *a, int64_t stride, double sign,
                       const double *x, double *out) {
  for (int64_t i = 0; i < m; ++i) {
    vec sum[n_vectors];
    for (int b = 0; b < n_vectors; ++b)
      sum[b] = simd::load(out + i * lds_lanes + b * width);
    for (int64_t j = 0; j < n; ++j) {
      const vec factor = simd::broadcast(sign * a[i * stride + j]);
      for (int b = 0; b < n_vectors; ++b)
        sum[b] = simd::fma(factor, simd::load(x + j * lds_lanes + b * width), sum[b]);
    }
    for (int b = 0; b < n_vectors; ++b)
      simd::store(out + i * lds_lanes + b * width, sum[b]);
  }
}

EF_HD void copy_lanes(int64_t n, const double *from, double *to) {
  for (int64_t i = 0; i < n * lds_lanes; ++i)
    to[i] = from[i];
}

void move_any(const lds_gain &g, const double *y, const double *drive, double *x) {
  double next[lds_max_dim * lds_lanes];
  if (drive != nullptr)
    copy_lanes(g.n, drive, next);
  for (int64_t i = 0; i < g.n && drive == nullptr; ++i)
    for (int l = 0; l < lds_lanes; ++l)
      next[i * lds_lanes + l] = g.c[i];
  add_product(g.n, g.p, g.L, g.p, 1, y, next);
  add_product(g.n, g.n, g.F, g.n, 1, x, next);
  copy_lanes(g.n, next, x);
}

const double *push_at(const lds_gain &g, const double *drive, int64_t s) {
  return drive == nullptr ? nullptr : drive + s * g.n * lds_lanes;
}

void advance_any(const lds_gain &g, const double *y, const double *drive, int64_t steps,
                 double *x) {
  for (int64_t s = 0; s < steps; ++s)
    move_any(g, y + s * g.p * lds_lanes, push_at(g, drive, s), x);
}

void observe_any(const lds_gain &g, const double *y, const double *drive, int64_t steps, double *x,
                 const lds_tile &out, double *sums) {
  double v[lds_max_dim * lds_lanes], e[lds_lanes], square[lds_lanes];
  for (int64_t s = 0; s < steps; ++s) {
    const double *row = y + s * g.p * lds_lanes;
    copy_lanes(g.p, row, v);
    add_product(g.p, g.n, g.C, g.n, -1, x, v);
    for (double &q : square)
      q = 0;
    for (int64_t k = 0; k < g.p; ++k) {
      for (double &q : e)
        q = 0;
      add_product(1, k + 1, g.whiten + k * g.p, g.p, 1, v, e);
      for (int l = 0; l < lds_lanes; ++l)
        square[l] = hd::fma(e[l], e[l], square[l]);
    }
    if (out.predicted != nullptr)
      copy_lanes(g.n, x, out.predicted + s * g.n * lds_lanes);
    if (out.filtered != nullptr) {
      double *f = out.filtered + s * g.n * lds_lanes;
      copy_lanes(g.n, x, f);
      add_product(g.n, g.p, g.K, g.p, 1, v, f);
    }
    if (out.innovations != nullptr)
      copy_lanes(g.p, v, out.innovations + s * g.p * lds_lanes);
    if (out.squares != nullptr)
      copy_lanes(1, square, out.squares + s * lds_lanes);
    for (int l = 0; l < lds_lanes; ++l)
      sums[l] += square[l];
    move_any(g, row, push_at(g, drive, s), x);
  }
}

template <int N, int P>
void retreat(const lds_adjoint &back, const double *x, const double *v, int64_t steps, double *r,
             double *out) {
  // The same recursion as the filter's, with r for the state and v for what drives it.
  double F[N * N], W[N * P], V[N * N];
  for (int i = 0; i < N * N; ++i) {
    F[i] = back.F[i];
    V[i] = back.P[i];
  }
  for (int i = 0; i < N * P; ++i)
    W[i] = back.W[i];
  column<N> state[n_vectors];
  for (int b = 0; b < n_vectors; ++b)
    load<N>(r, b * width, state[b]);
  for (int64_t s = steps - 1; s >= 0; --s)
    EF_UNROLL
  for (int b = 0; b < n_vectors; ++b) {
    const int lane = b * width;
    column<P> row;
    load<P>(v + s * P * lds_lanes, lane, row);
    column<N> next;
    for (int i = 0; i < N; ++i) {
      vec sum = simd::broadcast(0.0);
      for (int k = 0; k < P; ++k)
        sum = simd::fma(simd::broadcast(W[i * P + k]), row.at[k], sum);
      for (int j = 0; j < N; ++j)
        sum = simd::fma(simd::broadcast(F[i * N + j]), state[b].at[j], sum);
      next.at[i] = sum;
    }
    state[b] = next;
    if (out == nullptr)
      continue;
    column<N> smoothed;
    load<N>(x + s * N * lds_lanes, lane, smoothed);
    for (int i = 0; i < N; ++i)
      for (int j = 0; j < N; ++j)
        smoothed.at[i] = simd::fma(simd::broadcast(V[i * N + j]), next.at[j], smoothed.at[i]);
    store<N>(smoothed, out + s * N * lds_lanes, lane);
  }
  for (int b = 0; b < n_vectors; ++b)
    store<N>(state[b], r, b * width);
}

void retreat_any(const lds_adjoint &back, const double *x, const double *v, int64_t steps,
                 double *r, double *out) {
  double next[lds_max_dim * lds_lanes];
  for (int64_t s = steps - 1; s >= 0; --s) {
    for (int64_t i = 0; i < back.n * lds_lanes; ++i)
      next[i] = 0;
    add_product(back.n, back.p, back.W, back.p, 1, v + s * back.p * lds_lanes, next);
    add_product(back.n, back.n, back.F, back.n, 1, r, next);
    copy_lanes(back.n, next, r);
    if (out == nullptr)
      continue;
    double *row = out + s * back.n * lds_lanes;
    copy_lanes(back.n, x + s * back.n * lds_lanes, row);
    add_product(back.n, back.n, back.P, back.n, 1, r, row);
  }
}

struct kernels {
  decltype(&advance_any) advance;
  decltype(&observe_any) observe;
  decltype(&retreat_any) retreat;
};

template <int P> kernels choose(int64_t n) {
  switch (n) {
  case 1:
    return {advance<1, P>, observe<1, P>, retreat<1, P>};
  case 2:
    return {advance<2, P>, observe<2, P>, retreat<2, P>};
  case 3:
    return {advance<3, P>, observe<3, P>, retreat<3, P>};
  case 4:
    return {advance<4, P>, observe<4, P>, retreat<4, P>};
  case 5:
    return {advance<5, P>, observe<5, P>, retreat<5, P>};
  case 6:
    return {advance<6, P>, observe<6, P>, retreat<6, P>};
  case 7:
    return {advance<7, P>, observe<7, P>, retreat<7, P>};
  case 8:
    return {advance<8, P>, observe<8, P>, retreat<8, P>};
  default:
    return {advance_any, observe_any, retreat_any};
  }
}

kernels choose(int64_t n, int64_t p) {
  switch (p) {
  case 1:
    return choose<1>(n);
  case 2:
    return choose<2>(n);
  default:
    return {advance_any, observe_any, retreat_any};
  }
}

void advance_lanes(const lds_gain &g, const double *y, const double *drive, int64_t steps,
                   double *x) {
  choose(g.n, g.p).advance(g, y, drive, steps, x);
}

void observe_lanes(const lds_gain &g, const double *y, const double *drive, int64_t steps,
                   double *x, const lds_tile &out, double *sums) {
  choose(g.n, g.p).observe(g, y, drive, steps, x, out, sums);
}

// A sum of x - x (zero for finite x, NaN for others) needs no branch.
bool finite(const double *x, int64_t count) {
  double sums[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int l = 0; l < 16; ++l)
      sums[l] += x[i + l] - x[i + l];
  double sum = 0;
  for (; i < count; ++i)
    sum += x[i] - x[i];
  for (const double part : sums)
    sum += part;
  return sum == 0;
}

void retreat_lanes(const lds_adjoint &back, const double *x, const double *v, int64_t steps,
                   double *r, double *out) {
  choose(back.n, back.p).retreat(back, x, v, steps, r, out);
}

} // namespace

EF_ISA_DEFINE(lds, {advance_lanes, observe_lanes, retreat_lanes, interleave, deinterleave, finite})
