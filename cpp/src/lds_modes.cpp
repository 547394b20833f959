// SPDX-License-Identifier: BSD-3-Clause
#include "lds_modes.hpp"

#include <cmath>
#include <complex>
#include <utility>

namespace eigenflow::lds {
namespace {

using complex = std::complex<double>;
using complex_matrix = std::vector<complex>;

constexpr double epsilon = 0x1p-52;

// Turns rows i and i + 1 so that entry (i + 1, column) vanishes; [c s; -s* c] with real c.
struct rotation {
  double c = 1;
  complex s = 0;
  rotation(complex above, complex below) {
    const double size = std::hypot(std::abs(above), std::abs(below));
    if (!(std::abs(below) > 0))
      return;
    const complex phase = std::abs(above) > 0 ? above / std::abs(above) : complex(1);
    c = std::abs(above) / size;
    s = phase * std::conj(below) / size;
  }
  void rows(index n, complex_matrix &a, index i) const {
    for (index j = 0; j < n; ++j) {
      const complex x = a[count(i * n + j)], y = a[count((i + 1) * n + j)];
      a[count(i * n + j)] = c * x + s * y;
      a[count((i + 1) * n + j)] = c * y - std::conj(s) * x;
    }
  }
  void columns(index n, complex_matrix &a, index i) const {
    for (index j = 0; j < n; ++j) {
      const complex x = a[count(j * n + i)], y = a[count(j * n + i + 1)];
      a[count(j * n + i)] = c * x + std::conj(s) * y;
      a[count(j * n + i + 1)] = c * y - s * x;
    }
  }
};

// One step of the QR algorithm with Wilkinson's shift on the leading block that ends at `last`.
void shifted_step(index n, complex_matrix &h, index last) {
  const auto at = [&](index i, index j) -> complex & { return h[count(i * n + j)]; };
  const complex half = 0.5 * (at(last - 1, last - 1) - at(last, last));
  const complex root = std::sqrt(half * half + at(last - 1, last) * at(last, last - 1));
  const complex far = std::abs(half + root) > std::abs(half - root) ? half + root : half - root;
  const complex product = at(last - 1, last) * at(last, last - 1);
  const complex shift = at(last, last) - (std::abs(far) > 0 ? product / far : complex(0));
  for (index i = 0; i < n; ++i)
    at(i, i) -= shift;
  std::vector<rotation> turns;
  for (index i = 0; i < last; ++i) {
    turns.emplace_back(at(i, i), at(i + 1, i));
    turns.back().rows(n, h, i);
  }
  for (index i = 0; i < last; ++i)
    turns[count(i)].columns(n, h, i);
  for (index i = 0; i < n; ++i)
    at(i, i) += shift;
}

// Eigenvalues by the QR algorithm on a Hessenberg form; fewer than n where it does not converge.
std::vector<complex> eigenvalues(index n, const buffer &a) {
  complex_matrix h(a.begin(), a.end());
  for (index k = 0; k + 2 < n; ++k)
    for (index i = n - 2; i > k; --i) {
      const rotation turn(h[count(i * n + k)], h[count((i + 1) * n + k)]);
      turn.rows(n, h, i);
      turn.columns(n, h, i);
    }
  std::vector<complex> values;
  index last = n - 1;
  for (int steps = 0; last >= 0 && steps < 40 * static_cast<int>(n); ++steps) {
    const double below = last > 0 ? std::abs(h[count(last * n + last - 1)]) : 0;
    const double beside = last > 0 ? std::abs(h[count((last - 1) * (n + 1))]) : 0;
    if (below <= epsilon * (beside + std::abs(h[count(last * (n + 1))])))
      values.push_back(h[count(last-- * (n + 1))]);
    else
      shifted_step(n, h, last);
  }
  return values;
}

// Solves a' x = b in place of b, by elimination with row exchanges; a pivot that vanishes is
// replaced by a small number, which inverse iteration wants.
void solve_transposed(index n, const buffer &F, complex value, std::vector<complex> &b) {
  complex_matrix a(count(n * n));
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      a[count(i * n + j)] = F[count(j * n + i)] - (i == j ? value : complex(0));
  const double tiny = epsilon * (small::norm(F) + 0x1p-1000);
  for (index k = 0; k < n; ++k) {
    index pivot = k;
    for (index i = k + 1; i < n; ++i)
      if (std::abs(a[count(i * n + k)]) > std::abs(a[count(pivot * n + k)]))
        pivot = i;
    for (index j = 0; j < n; ++j)
      std::swap(a[count(k * n + j)], a[count(pivot * n + j)]);
    std::swap(b[count(k)], b[count(pivot)]);
    if (!(std::abs(a[count(k * (n + 1))]) > tiny))
      a[count(k * (n + 1))] = tiny;
    for (index i = k + 1; i < n; ++i) {
      const complex factor = a[count(i * n + k)] / a[count(k * (n + 1))];
      for (index j = k; j < n; ++j)
        a[count(i * n + j)] -= factor * a[count(k * n + j)];
      b[count(i)] -= factor * b[count(k)];
    }
  }
  for (index i = n - 1; i >= 0; --i) {
    for (index j = i + 1; j < n; ++j)
      b[count(i)] -= a[count(i * n + j)] * b[count(j)];
    b[count(i)] /= a[count(i * (n + 1))];
  }
}

// Left eigenvector w with w L = 1 by inverse iteration.
std::vector<complex> left_vector(index n, const steady_filter &f, complex value) {
  std::vector<complex> w(f.L.begin(), f.L.end());
  for (int k = 0; k < 3; ++k) {
    solve_transposed(n, f.F, value, w);
    double size = 0;
    for (const complex &x : w)
      size = std::max(size, std::abs(x));
    for (complex &x : w)
      x /= size;
  }
  complex seen = 0;
  for (index i = 0; i < n; ++i)
    seen += w[count(i)] * f.L[count(i)];
  for (complex &x : w)
    x /= seen;
  return w;
}

// Sum over the remembered steps of the difference between the two answers to one observation, in
// units of that sum of the answers; and what the modes cancel among each other.
bool same_answers(const dense_model &s, const steady_filter &f, const modal_filter &m) {
  const index n = s.n;
  buffer x(f.L), z(count(n)), next(count(n));
  std::fill_n(z.begin(), m.n_real, 1.0);
  for (index k = 0; k < m.n_pairs; ++k)
    z[count(m.n_real + 2 * k)] = 1;
  double whole = 1, difference = 0, parts = 0;
  for (index k = 0; k < 4096; ++k) {
    const double expected = -small::dot(n, s.C.data(), x.data());
    double answer = 0, size = 0;
    for (index i = 0; i < n; ++i) {
      answer += m.weights[count(i)] * z[count(i)];
      size += std::abs(m.weights[count(i)] * z[count(i)]);
    }
    whole += std::abs(expected);
    difference += std::abs(answer - expected);
    parts += size;
    if (!(size > epsilon * whole))
      break;
    small::apply(n, n, f.F.data(), x.data(), next.data());
    std::swap(x, next);
    for (index i = 0; i < m.n_real; ++i)
      z[count(i)] *= m.real[count(i)];
    for (index i = 0; i < m.n_pairs; ++i) {
      double &one = z[count(m.n_real + 2 * i)], &two = z[count(m.n_real + 2 * i + 1)];
      const double a = m.pairs[count(2 * i)], b = m.pairs[count(2 * i + 1)];
      const double turned = a * one - b * two;
      two = a * two + b * one;
      one = turned;
    }
  }
  return difference <= 64 * epsilon * whole && parts <= 256 * whole;
}

} // namespace

std::optional<modal_filter> find_modes(const dense_model &s, const steady_filter &f) {
  const index n = s.n;
  // Squares are summed before they are standardised.
  const bool in_range = s.p == 1 && f.whiten[0] > 1e-100 && f.whiten[0] < 1e100;
  if (!in_range || n > isa::lds_most_modes)
    return std::nullopt;
  const std::vector<complex> values = eigenvalues(n, f.F);
  if (static_cast<index>(values.size()) < n)
    return std::nullopt;
  modal_filter m{};
  m.offset = s.d[0];
  buffer real_rows, pair_rows;
  for (const complex value : values) {
    const bool real = std::abs(value.imag()) <= 1e-13 * (std::abs(value) + f.radius);
    if (!real && value.imag() < 0)
      continue;
    const std::vector<complex> w = left_vector(n, f, real ? complex(value.real()) : value);
    buffer &rows = real ? real_rows : pair_rows;
    for (const complex &x : w)
      rows.push_back(x.real());
    for (const complex &x : w)
      if (!real)
        rows.push_back(x.imag());
    (real ? m.n_real : m.n_pairs) += 1;
    buffer &kept = real ? m.real : m.pairs;
    kept.push_back(value.real());
    if (!real)
      kept.push_back(value.imag());
  }
  if (m.n_real + 2 * m.n_pairs != n)
    return std::nullopt;
  m.enter = std::move(real_rows);
  m.enter.insert(m.enter.end(), pair_rows.begin(), pair_rows.end());
  buffer work(m.enter);
  m.leave = small::identity(n);
  m.weights.resize(count(n));
  if (!small::solve(n, n, work.data(), m.leave.data()))
    return std::nullopt;
  small::apply_transposed(n, n, m.leave.data(), s.C.data(), m.weights.data());
  for (double &weight : m.weights)
    weight = -weight;
  // A mode that hardly anything excites may have become infinite.
  if (!std::isfinite(small::norm(m.leave)) || !std::isfinite(small::norm(m.enter)))
    return std::nullopt;
  return same_answers(s, f, m) ? std::optional(std::move(m)) : std::nullopt;
}

} // namespace eigenflow::lds
