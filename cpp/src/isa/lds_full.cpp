// SPDX-License-Identifier: BSD-3-Clause
#include "lds_full.hpp"
#include "vector_rows.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

using eigenflow::isa::lds_full_run;
using std::int64_t;

#if EF_GNU_EXTENSIONS
template <int N> EF_HD void store(double *to, const row<N> &r) {
  __builtin_memcpy(to, &r, sizeof(r));
}

template <int N> struct square {
  row<N> at[N];
  EF_HD void load_from(const double *from) { __builtin_memcpy(at, from, sizeof(at)); }
  // a' times the rows, in two sums: a chain of additions would be what the next step waits for.
  EF_HD row<N> combined(const row<N> &a) const {
    row<N> even = a[0] * at[0], odd = a[1] * at[1];
    for (int k = 2; k < N; k += 2) {
      even += a[k] * at[k];
      odd += a[k + 1] * at[k + 1];
    }
    return even + odd;
  }
  EF_HD square transposed() const {
    square out(*this);
    for (int i = 0; i < N; ++i)
      for (int j = 0; j < N; ++j)
        out.at[j][i] = at[i][j];
    return out;
  }
};

// P <- (I - k z') P (I - k z')' + noise k k', but for a symmetric part: `predict` takes that. The
// rows of (I - k z') P and of its transpose P (I - z k') come from those of P.
template <int N>
EF_HD void shrink(square<N> &P, const row<N> &Pz, const row<N> &k, const row<N> &z, double noise) {
  square<N> turned(P);
  for (int i = 0; i < N; ++i)
    turned.at[i] -= Pz[i] * k;
  const row<N> left = turned.combined(z) - noise * k;
  for (int i = 0; i < N; ++i)
    P.at[i] = (P.at[i] - k[i] * Pz) - left[i] * k;
}

// P <- A P A' + Q, symmetric to the bit.
template <int N>
EF_HD void predict(square<N> &P, const square<N> &A, const square<N> &A_turned,
                   const square<N> &Q) {
  square<N> moved(P);
  for (int i = 0; i < N; ++i)
    moved.at[i] = A_turned.combined(P.at[i]);
  for (int i = 0; i < N; ++i)
    P.at[i] = moved.combined(A.at[i]);
  const square<N> turned = P.transposed();
  for (int i = 0; i < N; ++i)
    P.at[i] = 0.5 * (P.at[i] + turned.at[i]) + Q.at[i];
}

template <int N>
int64_t run_rows(const lds_full_run &in, int64_t steps, double *mean, double *cov,
                 double *variances, double *squares) {
  square<N> P{}, A{}, A_turned{}, Q{};
  P.load_from(cov);
  row<N> x = load<N>(mean);
  int64_t s = 0;
  for (; s < steps; ++s) {
    const row<N> z = load<N>(in.C.at + s * in.C.step);
    const double noise = in.R.at[s * in.R.step];
    const double value = in.y.at[s * in.y.step] - in.d.at[s * in.d.step];
    const row<N> Pz = P.combined(z);
    const double variance = sum<N>(z * Pz) + noise;
    const double innovation = value - sum<N>(z * x);
    // A difference is NaN for what is not finite.
    if (!(noise > 0 && variance > 0 && innovation - innovation == 0 && variance - variance == 0))
      break;
    if (in.predicted.at != nullptr)
      store<N>(in.predicted.at + s * in.predicted.step, x);
    if (in.innovations.at != nullptr)
      in.innovations.at[s * in.innovations.step] = innovation;
    const row<N> k = Pz / variance;
    x += innovation * k;
    shrink<N>(P, Pz, k, z, noise);
    if (in.filtered.at != nullptr)
      store<N>(in.filtered.at + s * in.filtered.step, x);
    variances[s] = variance;
    squares[s] = innovation / variance * innovation;
    if (s == 0 || in.A.step != 0) {
      A.load_from(in.A.at + s * in.A.step);
      A_turned = A.transposed();
    }
    if (s == 0 || in.Q.step != 0)
      Q.load_from(in.Q.at + s * in.Q.step);
    x = A_turned.combined(x) + load<N>(in.c.at + s * in.c.step);
    predict<N>(P, A, A_turned, Q);
  }
  __builtin_memcpy(cov, P.at, sizeof(P.at));
  store<N>(mean, x);
  return s;
}

bool knows(int64_t n) { return n == 2 || n == 4 || n == 8; }

int64_t run(int64_t n, const lds_full_run &in, int64_t steps, double *mean, double *P,
            double *variances, double *squares) {
  switch (n) {
  case 2:
    return run_rows<2>(in, steps, mean, P, variances, squares);
  case 4:
    return run_rows<4>(in, steps, mean, P, variances, squares);
  case 8:
    return run_rows<8>(in, steps, mean, P, variances, squares);
  default:
    return 0;
  }
}
#else
bool knows(int64_t) { return false; }
int64_t run(int64_t, const lds_full_run &, int64_t, double *, double *, double *, double *) {
  return 0;
}
#endif

} // namespace

EF_ISA_DEFINE(lds_full, {knows, run})
