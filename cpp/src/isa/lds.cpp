// SPDX-License-Identifier: BSD-3-Clause
#include "lds.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

using eigenflow::isa::lds_gain;
using eigenflow::isa::lds_lanes;
using eigenflow::isa::lds_max_dim;
using eigenflow::isa::lds_tile;
using std::int64_t;
namespace hd = eigenflow::hd;

// A lane does not depend on another, so with N and P fixed the loop over lanes around a whole step
// becomes vector instructions with the state in registers.
template <int N> struct rows {
  double at[N][lds_lanes];
};

template <int N> EF_HD void load(const double *x, rows<N> &r) {
  for (int i = 0; i < N; ++i)
    for (int l = 0; l < lds_lanes; ++l)
      r.at[i][l] = x[i * lds_lanes + l];
}

template <int N> EF_HD void store(const rows<N> &r, double *x) {
  if (x == nullptr)
    return;
  for (int i = 0; i < N; ++i)
    for (int l = 0; l < lds_lanes; ++l)
      x[i * lds_lanes + l] = r.at[i][l];
}

// What y adds comes first: it does not wait for the step before.
template <int N, int P>
EF_HD void move_lane(const lds_gain &g, const double *y, const rows<N> &x, rows<N> &next, int l) {
  for (int i = 0; i < N; ++i) {
    double sum = g.c[i];
    for (int k = 0; k < P; ++k)
      sum = hd::fma(g.L[i * P + k], y[k * lds_lanes + l], sum);
    for (int j = 0; j < N; ++j)
      sum = hd::fma(g.F[i * N + j], x.at[j][l], sum);
    next.at[i][l] = sum;
  }
}

// The innovations of one lane; returns their squared standardised size.
template <int N, int P>
EF_HD double innovate_lane(const lds_gain &g, const double *y, const rows<N> &x, rows<P> &v,
                           int l) {
  double square = 0;
  for (int k = 0; k < P; ++k) {
    double value = y[k * lds_lanes + l];
    for (int j = 0; j < N; ++j)
      value = hd::fma(-g.C[k * N + j], x.at[j][l], value);
    v.at[k][l] = value;
    double e = 0;
    for (int j = 0; j <= k; ++j)
      e = hd::fma(g.whiten[k * P + j], v.at[j][l], e);
    square = hd::fma(e, e, square);
  }
  return square;
}

template <int N, int P>
EF_HD void filter_lane(const lds_gain &g, const rows<N> &x, const rows<P> &v, rows<N> &f, int l) {
  for (int i = 0; i < N; ++i) {
    double sum = x.at[i][l];
    for (int k = 0; k < P; ++k)
      sum = hd::fma(g.K[i * P + k], v.at[k][l], sum);
    f.at[i][l] = sum;
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
void advance(const lds_gain &gain, const double *y, int64_t steps, double *state) {
  const gain_copy<N, P> own(gain);
  const lds_gain g = own.view();
  rows<N> x, next;
  load<N>(state, x);
  for (int64_t s = 0; s < steps; ++s) {
    for (int l = 0; l < lds_lanes; ++l)
      move_lane<N, P>(g, y + s * P * lds_lanes, x, next, l);
    x = next;
  }
  store<N>(x, state);
}

template <int N, int P>
void likelihood(const lds_gain &gain, const double *y, int64_t steps, double *state, double *sums) {
  const gain_copy<N, P> own(gain);
  const lds_gain g = own.view();
  rows<N> x, next;
  rows<P> v;
  rows<1> total{};
  load<N>(state, x);
  for (int64_t s = 0; s < steps; ++s) {
    const double *row = y + s * P * lds_lanes;
    for (int l = 0; l < lds_lanes; ++l) {
      total.at[0][l] += innovate_lane<N, P>(g, row, x, v, l);
      move_lane<N, P>(g, row, x, next, l);
    }
    x = next;
  }
  store<N>(x, state);
  for (int l = 0; l < lds_lanes; ++l)
    sums[l] += total.at[0][l];
}

template <int N, int P>
void observe(const lds_gain &gain, const double *y, int64_t steps, double *state,
             const lds_tile &out, double *sums) {
  const bool nothing = out.predicted == nullptr && out.filtered == nullptr &&
                       out.innovations == nullptr && out.squares == nullptr;
  if (nothing)
    return likelihood<N, P>(gain, y, steps, state, sums);
  const gain_copy<N, P> own(gain);
  const lds_gain g = own.view();
  const auto place = [](double *base, int64_t offset) {
    return base == nullptr ? base : base + offset;
  };
  rows<N> x, next, filtered;
  rows<P> v;
  rows<1> square, total{};
  load<N>(state, x);
  for (int64_t s = 0; s < steps; ++s) {
    const double *row = y + s * P * lds_lanes;
    for (int l = 0; l < lds_lanes; ++l) {
      square.at[0][l] = innovate_lane<N, P>(g, row, x, v, l);
      total.at[0][l] += square.at[0][l];
      filter_lane<N, P>(g, x, v, filtered, l);
      move_lane<N, P>(g, row, x, next, l);
    }
    store<N>(x, place(out.predicted, s * N * lds_lanes));
    store<N>(filtered, place(out.filtered, s * N * lds_lanes));
    store<P>(v, place(out.innovations, s * P * lds_lanes));
    store<1>(square, place(out.squares, s * lds_lanes));
    x = next;
  }
  store<N>(x, state);
  for (int l = 0; l < lds_lanes; ++l)
    sums[l] += total.at[0][l];
}

// out = start + sign a x over all lanes, a of m x n with rows `stride` apart; start may be null.
EF_HD void add_product(int64_t m, int64_t n, const double *a, int64_t stride, double sign,
                       const double *x, double *out) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const double factor = sign * a[i * stride + j];
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1
#endif
      for (int l = 0; l < lds_lanes; ++l)
        out[i * lds_lanes + l] = hd::fma(factor, x[j * lds_lanes + l], out[i * lds_lanes + l]);
    }
}

EF_HD void copy_lanes(int64_t n, const double *from, double *to) {
  for (int64_t i = 0; i < n * lds_lanes; ++i)
    to[i] = from[i];
}

void move_any(const lds_gain &g, const double *y, double *x) {
  double next[lds_max_dim * lds_lanes];
  for (int64_t i = 0; i < g.n; ++i)
    for (int l = 0; l < lds_lanes; ++l)
      next[i * lds_lanes + l] = g.c[i];
  add_product(g.n, g.p, g.L, g.p, 1, y, next);
  add_product(g.n, g.n, g.F, g.n, 1, x, next);
  copy_lanes(g.n, next, x);
}

void advance_any(const lds_gain &g, const double *y, int64_t steps, double *x) {
  for (int64_t s = 0; s < steps; ++s)
    move_any(g, y + s * g.p * lds_lanes, x);
}

void observe_any(const lds_gain &g, const double *y, int64_t steps, double *x, const lds_tile &out,
                 double *sums) {
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
    move_any(g, row, x);
  }
}

struct pair {
  decltype(&advance_any) advance;
  decltype(&observe_any) observe;
};

template <int P> pair choose(int64_t n) {
  switch (n) {
  case 1:
    return {advance<1, P>, observe<1, P>};
  case 2:
    return {advance<2, P>, observe<2, P>};
  case 3:
    return {advance<3, P>, observe<3, P>};
  case 4:
    return {advance<4, P>, observe<4, P>};
  case 5:
    return {advance<5, P>, observe<5, P>};
  case 6:
    return {advance<6, P>, observe<6, P>};
  default:
    return {advance_any, observe_any};
  }
}

pair choose(const lds_gain &g) {
  switch (g.p) {
  case 1:
    return choose<1>(g.n);
  case 2:
    return choose<2>(g.n);
  default:
    return {advance_any, observe_any};
  }
}

void advance_lanes(const lds_gain &g, const double *y, int64_t steps, double *x) {
  choose(g).advance(g, y, steps, x);
}

void observe_lanes(const lds_gain &g, const double *y, int64_t steps, double *x,
                   const lds_tile &out, double *sums) {
  choose(g).observe(g, y, steps, x, out, sums);
}

} // namespace

EF_ISA_DEFINE(lds, {advance_lanes, observe_lanes})
