// SPDX-License-Identifier: BSD-3-Clause
#include "lds_known.hpp"
#include "vector_rows.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

using eigenflow::isa::lds_known_run;
using eigenflow::isa::lds_results;
using std::int64_t;

EF_HD double value_of(double y, double offset) { return y == y ? y - offset : 0.0; }

#if EF_GNU_EXTENSIONS

// N numbers of a row: known here, or the copy is a call that sends the state to memory.
template <int N, int W> EF_HD void write(const lds_results &out, int64_t s, const row<W> &r) {
  if (out.at != nullptr)
    __builtin_memcpy(out.at + s * out.step, &r, N * sizeof(double));
}

// The next state waits for the one before it: its sum comes in two parts, and all else beside it.
template <int N, int W> EF_HD row<W> moved(const double *F, const row<W> &x, const row<W> &push) {
  row<W> even = x[0] * load<W>(F) + push, odd{};
  for (int j = 1; j < N; j += 2)
    odd += x[j] * load<W>(F + j * W);
  for (int j = 2; j < N; j += 2)
    even += x[j] * load<W>(F + j * W);
  return even + odd;
}

// P observed numbers, or any for P = 0.
template <int N, int P> double run_rows(const lds_known_run &given, int64_t steps, double *mean) {
  constexpr int W = N <= 2 ? 2 : N <= 4 ? 4 : 8;
  const lds_known_run in = given; // which no result can overwrite
  const int64_t p = P > 0 ? P : in.p;
  row<W> x = load<W>(mean);
  double total = 0;
  for (int64_t s = 0; s < steps; ++s) {
    const double *F = in.gains[s], *y = in.y.at + s * in.y.step, *d = in.d.at + s * in.d.step;
    const double *L = F + N * W, *H = L + p * W, *K = H + p * W, *E = K + p * W;
    row<W> push = load<W>(in.c.at + s * in.c.step), filtered = x;
    double square = 0;
    for (int64_t k = 0; k < p; ++k) {
      double e = 0;
      for (int64_t j = 0; j <= k; ++j)
        e += E[k * p + j] * value_of(y[j * in.y_column], d[j]);
      e -= sum<W>(load<W>(H + k * W) * x);
      square += e * e;
      push += value_of(y[k * in.y_column], d[k]) * load<W>(L + k * W);
      filtered += e * load<W>(K + k * W);
    }
    total += square;
    if (in.squares != nullptr)
      in.squares[s] = square;
    write<N, W>(in.predicted, s, x);
    write<N, W>(in.filtered, s, filtered);
    x = moved<N, W>(F, x, push);
  }
  __builtin_memcpy(mean, &x, sizeof(x));
  return total;
}

template <int N> double run_size(const lds_known_run &in, int64_t steps, double *mean) {
  return in.p == 1 ? run_rows<N, 1>(in, steps, mean) : run_rows<N, 0>(in, steps, mean);
}
#endif

void add_multiple(int64_t n, double factor, const double *from, double *to) {
  for (int64_t i = 0; i < n; ++i)
    to[i] += factor * from[i];
}

void copy(int64_t n, const double *from, double *to) {
  for (int64_t i = 0; i < n; ++i)
    to[i] = from[i];
}

double run_any(const lds_known_run &in, int64_t steps, double *x) {
  const int64_t n = in.n, p = in.p;
  double *next = x + n, total = 0;
  for (int64_t s = 0; s < steps; ++s) {
    const double *F = in.gains[s], *y = in.y.at + s * in.y.step, *d = in.d.at + s * in.d.step;
    const double *L = F + n * n, *H = L + p * n, *K = H + p * n, *E = K + p * n;
    double *filtered = in.filtered.at == nullptr ? nullptr : in.filtered.at + s * in.filtered.step;
    if (in.predicted.at != nullptr)
      copy(n, x, in.predicted.at + s * in.predicted.step);
    if (filtered != nullptr)
      copy(n, x, filtered);
    copy(n, in.c.at + s * in.c.step, next);
    double square = 0;
    for (int64_t k = 0; k < p; ++k) {
      double e = 0;
      for (int64_t j = 0; j <= k; ++j)
        e += E[k * p + j] * value_of(y[j * in.y_column], d[j]);
      for (int64_t i = 0; i < n; ++i)
        e -= H[k * n + i] * x[i];
      square += e * e;
      add_multiple(n, value_of(y[k * in.y_column], d[k]), L + k * n, next);
      if (filtered != nullptr)
        add_multiple(n, e, K + k * n, filtered);
    }
    for (int64_t j = 0; j < n; ++j)
      add_multiple(n, x[j], F + j * n, next);
    copy(n, next, x);
    total += square;
    if (in.squares != nullptr)
      in.squares[s] = square;
  }
  return total;
}

int64_t width(int64_t n) {
#if EF_GNU_EXTENSIONS
  return n <= 2 ? 2 : n <= 4 ? 4 : n <= 8 ? 8 : n;
#else
  return n;
#endif
}

double run(const lds_known_run &in, int64_t steps, double *mean) {
#if EF_GNU_EXTENSIONS
  constexpr decltype(&run_any) sizes[] = {run_size<1>, run_size<2>, run_size<3>, run_size<4>,
                                          run_size<5>, run_size<6>, run_size<7>, run_size<8>};
  if (in.n <= 8)
    return sizes[in.n - 1](in, steps, mean);
#endif
  return run_any(in, steps, mean);
}

} // namespace

EF_ISA_DEFINE(lds_known, {width, run})
