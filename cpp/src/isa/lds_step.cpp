// SPDX-License-Identifier: BSD-3-Clause
#include "lds_step.hpp"
#include "vector_rows.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

using std::int64_t;
namespace hd = eigenflow::hd;

// N is the size, or 0 for any. Inner loops run along rows, so that the compiler vectorises them;
// sizes that it knows work on copies that nobody else writes to.
template <int N> EF_HD int64_t size(int64_t n) { return N > 0 ? N : n; }

template <int N> struct own_copy {
  double at[N * N];
  explicit own_copy(const double *from) {
    for (int i = 0; i < N * N; ++i)
      at[i] = from[i];
  }
};

// out row i = sum of a_k b row k.
EF_HD void combine_rows(int64_t n, const double *a, const double *b, double *row) {
  for (int64_t j = 0; j < n; ++j)
    row[j] = a[0] * b[j];
  for (int64_t k = 1; k < n; ++k)
    for (int64_t j = 0; j < n; ++j)
      row[j] = hd::fma(a[k], b[k * n + j], row[j]);
}

#if EF_GNU_EXTENSIONS
template <int N> constexpr bool has_rows = N == 2 || N == 4 || N == 8;
#else
template <int N> constexpr bool has_rows = false;
#endif

#if EF_GNU_EXTENSIONS
template <int N> struct square {
  using row = typename row_of<N>::type;
  row at[N];
  explicit square(const double *from) { __builtin_memcpy(at, from, sizeof(at)); }
  void store(double *to) const { __builtin_memcpy(to, at, sizeof(at)); }
  static row load(const double *from) {
    row r;
    __builtin_memcpy(&r, from, sizeof(r));
    return r;
  }
  // a' times the rows.
  row combined(const row &a) const {
    row sum = a[0] * at[0];
    for (int k = 1; k < N; ++k)
      sum += a[k] * at[k];
    return sum;
  }
  square transposed() const {
    square out(*this);
    for (int i = 0; i < N; ++i)
      for (int j = 0; j < N; ++j)
        out.at[j][i] = at[i][j];
    return out;
  }
  void symmetrise() {
    const square turned = transposed();
    for (int i = 0; i < N; ++i)
      at[i] = 0.5 * (at[i] + turned.at[i]);
  }
};

template <int N> double project_rows(const double *P, const double *z, double *out) {
  using S = square<N>;
  const auto weights = S::load(z), sums = S(P).combined(weights);
  __builtin_memcpy(out, &sums, sizeof(sums));
  const auto parts = weights * sums;
  double total = 0;
  for (int j = 0; j < N; ++j)
    total += parts[j];
  return total;
}

template <int N> void joseph_rows(double *P, const double *gain, const double *z, double noise) {
  using S = square<N>;
  S own(P);
  const auto k = S::load(gain), row = S::load(z);
  const auto projected = own.combined(row);
  for (int i = 0; i < N; ++i)
    own.at[i] -= k[i] * projected;
  const auto sums = own.transposed().combined(row) - noise * k; // own z - noise k
  for (int i = 0; i < N; ++i)
    own.at[i] -= sums[i] * k;
  own.symmetrise();
  own.store(P);
}

template <int N> void predict_rows(const double *A, const double *P, const double *Q, double *out) {
  using S = square<N>;
  const S a(A), p(P), q(Q), turned = a.transposed();
  S moved(P), result(Q);
  for (int i = 0; i < N; ++i)
    moved.at[i] = turned.combined(p.at[i]);
  for (int i = 0; i < N; ++i)
    result.at[i] = moved.combined(a.at[i]);
  result.symmetrise();
  for (int i = 0; i < N; ++i)
    result.at[i] += q.at[i];
  result.store(out);
}
#endif

template <int N> double project(int64_t any, const double *P, const double *z, double *out) {
  const int64_t n = size<N>(any);
#if EF_GNU_EXTENSIONS
  if constexpr (has_rows<N>)
    return project_rows<N>(P, z, out);
#endif
  combine_rows(n, z, P, out); // P is symmetric: its rows are its columns
  double sum = 0;
  for (int64_t j = 0; j < n; ++j)
    sum = hd::fma(z[j], out[j], sum);
  return sum;
}

// P <- (P + P') / 2.
EF_HD void symmetrise(int64_t n, double *P) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < i; ++j)
      P[i * n + j] = P[j * n + i] = 0.5 * (P[i * n + j] + P[j * n + i]);
}

// (I - k z') from the left needs z'P, from the right the rows of what that left times z.
EF_HD void joseph_steps(int64_t n, double *P, const double *gain, const double *z, double noise,
                        double *projected) {
  combine_rows(n, z, P, projected);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      P[i * n + j] = hd::fma(-gain[i], projected[j], P[i * n + j]);
  for (int64_t i = 0; i < n; ++i) {
    double sum = -noise * gain[i];
    for (int64_t j = 0; j < n; ++j)
      sum = hd::fma(P[i * n + j], z[j], sum);
    projected[i] = sum;
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      P[i * n + j] = hd::fma(-projected[i], gain[j], P[i * n + j]);
  symmetrise(n, P);
}

template <int N>
void joseph(int64_t any, double *P, const double *gain, const double *z, double noise,
            double *projected) {
#if EF_GNU_EXTENSIONS
  if constexpr (has_rows<N>)
    return joseph_rows<N>(P, gain, z, noise);
#endif
  if constexpr (N == 0) {
    joseph_steps(any, P, gain, z, noise, projected);
  } else {
    own_copy<N> own(P);
    double k[N], row[N], sums[N];
    for (int i = 0; i < N; ++i) {
      k[i] = gain[i];
      row[i] = z[i];
    }
    joseph_steps(N, own.at, k, row, noise, sums);
    for (int i = 0; i < N * N; ++i)
      P[i] = own.at[i];
  }
}

template <int N> void standard(int64_t any, double *P, const double *covariance, double variance) {
  const int64_t n = size<N>(any);
  for (int64_t i = 0; i < n; ++i) {
    const double gain = covariance[i] / variance;
    for (int64_t j = 0; j < n; ++j)
      P[i * n + j] = hd::fma(-gain, covariance[j], P[i * n + j]);
  }
  symmetrise(n, P);
}

EF_HD void predict_steps(int64_t n, const double *A, const double *P, const double *Q, double *out,
                         double *transposed, double *moved) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      transposed[j * n + i] = A[i * n + j];
  for (int64_t i = 0; i < n; ++i)
    combine_rows(n, P + i * n, transposed, moved + i * n); // P A'
  for (int64_t i = 0; i < n; ++i)
    combine_rows(n, A + i * n, moved, out + i * n);
  symmetrise(n, out);
  for (int64_t i = 0; i < n * n; ++i)
    out[i] += Q[i];
}

template <int N>
void predict(int64_t any, const double *A, const double *P, const double *Q, double *out,
             double *work) {
#if EF_GNU_EXTENSIONS
  if constexpr (has_rows<N>)
    return predict_rows<N>(A, P, Q, out);
#endif
  if constexpr (N == 0) {
    predict_steps(any, A, P, Q, out, work, work + any * any);
  } else {
    const own_copy<N> a(A), p(P), q(Q);
    double result[N * N], transposed[N * N], moved[N * N];
    predict_steps(N, a.at, p.at, q.at, result, transposed, moved);
    for (int i = 0; i < N * N; ++i)
      out[i] = result[i];
  }
}

// Calls the body with the size as a type.
template <int N> struct constant {
  static constexpr int value = N;
};

template <class Body> auto sized(int64_t n, Body body) {
  switch (n) {
  case 1:
    return body(constant<1>{});
  case 2:
    return body(constant<2>{});
  case 3:
    return body(constant<3>{});
  case 4:
    return body(constant<4>{});
  case 5:
    return body(constant<5>{});
  case 6:
    return body(constant<6>{});
  case 7:
    return body(constant<7>{});
  case 8:
    return body(constant<8>{});
  default:
    return body(constant<0>{});
  }
}

double project_any(int64_t n, const double *P, const double *z, double *out) {
  return sized(n, [&](auto N) { return project<N.value>(n, P, z, out); });
}
void joseph_any(int64_t n, double *P, const double *gain, const double *z, double noise,
                double *work) {
  sized(n, [&](auto N) { joseph<N.value>(n, P, gain, z, noise, work); });
}
void standard_any(int64_t n, double *P, const double *covariance, double variance) {
  sized(n, [&](auto N) { standard<N.value>(n, P, covariance, variance); });
}
void predict_any(int64_t n, const double *A, const double *P, const double *Q, double *out,
                 double *work) {
  sized(n, [&](auto N) { predict<N.value>(n, A, P, Q, out, work); });
}

} // namespace

EF_ISA_DEFINE(lds_step, {project_any, joseph_any, standard_any, predict_any})
