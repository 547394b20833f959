// SPDX-License-Identifier: BSD-3-Clause
// Upper bounds on spectral norms. For Gaussian vectors w and any matrix B (Halko, Martinsson and
// Tropp 2011, lemma 4.1)
//   ||B|| <= 10 sqrt(2 / pi) max ||B w||  but for a probability of 10^-r with r vectors.
// Alone that overshoots 10 to 40 times. For B = R (R^H R)^q the left side is ||R||^(2q + 1), and
// the root takes the overshoot with it: at q = 4 at most (8 sqrt(n))^(1/9) remains, 1.7 for n =
// 300.
#include "svd_detail.hpp"

#include <numbers>

namespace eigenflow::svd {
namespace {

constexpr index bound_column = index{1} << 42; // far from the columns that the basis draws
constexpr int power_steps = 4;

// Brings the largest entry near 1 by a power of two, and returns the logarithm of what it took out.
// The rows may be spread over ranks.
template <class T> double take_scale(matrix_view<T> x, const rank_group *ranks = nullptr) {
  double largest = 0;
  for (index j = 0; j < x.cols; ++j)
    for (index i = 0; i < x.rows; ++i)
      largest = std::max(largest, static_cast<double>(std::abs(x(i, j))));
  if (ranks != nullptr)
    ranks->allreduce(std::span(&largest, 1), reduction::max);
  if (!(largest > 0) || !std::isfinite(largest))
    return 0;
  int exponent = 0;
  std::frexp(largest, &exponent);
  const auto factor = static_cast<real_of<T>>(std::ldexp(1.0, -std::clamp(exponent, -120, 120)));
  for (index j = 0; j < x.cols; ++j)
    for (index i = 0; i < x.rows; ++i)
      x(i, j) *= factor;
  return -std::log(static_cast<double>(factor));
}

// forward(w, y): y = R w. backward(y, w): w = R^H y. The rounding of R is added by the caller.
template <class T, class Forward, class Backward>
double norm_bound(const linear_operator<T> &a, std::uint64_t key, int workers, Forward &&forward,
                  Backward &&backward) {
  columns<T> inner(a.cols(), bound_vectors), outer(a.rows(), bound_vectors);
  const matrix_view<T> w = inner.view(0, bound_vectors), y = outer.view(0, bound_vectors);
  fill_gaussian<T>(key, 0, bound_column, w, workers);
  forward(w, y);
  double log_scale = 0;
  for (int step = 0; step < power_steps; ++step) {
    log_scale += take_scale(y, a.ranks());
    backward(y, w);
    log_scale += take_scale(w);
    forward(w, y);
  }
  double lengths[bound_vectors];
  for (index j = 0; j < bound_vectors; ++j)
    lengths[j] = squared_norm(y.col(j));
  sum_over(a.ranks(), col_major(lengths, bound_vectors, 1));
  const double largest = *std::max_element(lengths, lengths + bound_vectors);
  if (!(largest > 0))
    return 0;
  const double log_bound = std::log(10 * std::sqrt(2 / std::numbers::pi)) + 0.5 * std::log(largest);
  return std::exp((log_bound + log_scale) / (2 * power_steps + 1));
}

} // namespace

template <class T>
double outside_bound(const linear_operator<T> &a, matrix_view<const T> v, std::uint64_t key,
                     int workers, int &passes) {
  columns<T> held(v.cols, bound_vectors);
  const matrix_view<T> h = held.view(0, bound_vectors);
  passes += 2 * power_steps + 1;
  return norm_bound<T>(
      a, key, workers,
      [&](matrix_view<T> w, matrix_view<T> y) {
        project_out<T>(v, w, h, workers);
        a.apply(w, y);
      },
      [&](matrix_view<T> y, matrix_view<T> w) { a.apply_adjoint(y, w); });
}

template <class T>
double residual_bound(const linear_operator<T> &a, matrix_view<const T> u, const double *s,
                      matrix_view<const T> v, std::uint64_t key, int workers, int &passes) {
  columns<T> held(u.cols, bound_vectors);
  const matrix_view<T> h = held.view(0, bound_vectors);
  // y -= left diag(s) right^H x
  const auto subtract = [&](matrix_view<const T> left, matrix_view<const T> right,
                            matrix_view<const T> x, matrix_view<T> y) {
    if (u.cols == 0)
      return;
    blas::gemm<T>(blas::transpose::adjoint, blas::transpose::no, T(1), right, x, T(0), h);
    for (index j = 0; j < h.cols; ++j)
      for (index i = 0; i < h.rows; ++i)
        h(i, j) *= static_cast<real_of<T>>(s[i]);
    blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), left, h, T(1), y);
  };
  passes += 2 * power_steps + 1;
  return norm_bound<T>(
      a, key, workers,
      [&](matrix_view<T> w, matrix_view<T> y) {
        a.apply(w, y);
        subtract(u, v, w, y);
      },
      [&](matrix_view<T> y, matrix_view<T> w) {
        a.apply_adjoint(y, w);
        subtract(v, u, y, w);
      });
}

// (A - A V_k V_k^H)^H (A - A V_k V_k^H) in the basis (the other Ritz vectors, the next block, the
// rest) is [[D, C, 0], [C^H, M]] with M at most outside^2: its largest eigenvalue is at most that
// of [[D, C], [C^H, outside^2 I]].
template <class W>
double deflated_bound(const std::vector<double> &squares, matrix_view<const W> x,
                      const std::vector<W> &next, index width, index rank, double outside) {
  const index size = x.cols, kept = size - rank, total = kept + width;
  columns<W> held(total, total), turned(width, kept);
  const matrix_view<W> h = held.view(0, total), c = turned.view(0, kept);
  // The first `kept` columns of x are the vectors of the smallest values.
  multiply<W>(col_major<const W>(next.data(), width, width), x.block(size - width, 0, width, kept),
              W(0), c);
  for (index j = 0; j < total; ++j)
    for (index i = 0; i < total; ++i) {
      h(i, j) = W(0);
      if (i == j)
        h(i, j) = i < kept ? squares[as_size(size - 1 - i)] : outside * outside;
      else if (i < kept && j >= kept)
        h(i, j) = conjugate(c(j - kept, i));
    }
  std::vector<double> values(as_size(total));
  require_finite(h);
  blas::syevd_values<W>(blas::triangle::upper, h, {values.data(), total, 1});
  return values.back();
}

#define EF_INSTANTIATE(T)                                                                          \
  template double outside_bound<T>(const linear_operator<T> &, matrix_view<const T>,               \
                                   std::uint64_t, int, int &);                                     \
  template double residual_bound<T>(const linear_operator<T> &, matrix_view<const T>,              \
                                    const double *, matrix_view<const T>, std::uint64_t, int,      \
                                    int &);
EF_SVD_TYPES(EF_INSTANTIATE)

template double deflated_bound<double>(const std::vector<double> &, matrix_view<const double>,
                                       const std::vector<double> &, index, index, double);
template double deflated_bound<std::complex<double>>(const std::vector<double> &,
                                                     matrix_view<const std::complex<double>>,
                                                     const std::vector<std::complex<double>> &,
                                                     index, index, double);

} // namespace eigenflow::svd
