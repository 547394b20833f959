// SPDX-License-Identifier: BSD-3-Clause
#include "lds_wide.hpp"

#include <eigenflow/parallel.hpp>

#include <cmath>

namespace eigenflow::lds {
namespace {

// high + low with |low| at most half a unit in the last place of high: 106 bits (Dekker 1971).
struct wide {
  double high = 0, low = 0;
  wide() = default;
  wide(double x) : high(x) {}
  wide(double h, double l) : high(h), low(l) {}
};

wide quick_sum(double a, double b) {
  const double s = a + b;
  return {s, b - (s - a)};
}

wide exact_sum(double a, double b) {
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

// Without a fused multiply-add, which is slow where the processor has none.
wide exact_product(double a, double b) {
  constexpr double splitter = 134217729.0; // 2^27 + 1
  const double ta = splitter * a, tb = splitter * b;
  const double ah = ta - (ta - a), al = a - ah, bh = tb - (tb - b), bl = b - bh;
  const double p = a * b;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

wide operator+(wide a, wide b) {
  const wide s = exact_sum(a.high, b.high), t = exact_sum(a.low, b.low);
  const wide c = quick_sum(s.high, s.low + t.high);
  return quick_sum(c.high, c.low + t.low);
}
wide operator-(wide a) { return {-a.high, -a.low}; }
wide operator-(wide a, wide b) { return a + (-b); }
wide operator*(wide a, wide b) {
  const wide p = exact_product(a.high, b.high);
  return quick_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}
wide operator/(wide a, wide b) {
  const double first = a.high / b.high;
  const wide rest = a - b * wide(first);
  const double second = rest.high / b.high;
  const wide last = rest - b * wide(second);
  return quick_sum(first, second) + wide(last.high / b.high);
}

// A dense matrix; sizes fit by construction.
struct matrix {
  index rows, cols;
  std::vector<wide> at;
  matrix(index m, index n) : rows(m), cols(n), at(count(m * n)) {}
  matrix(index m, index n, const buffer &a) : rows(m), cols(n), at(a.begin(), a.end()) {}
  wide &operator()(index i, index j) { return at[count(i * cols + j)]; }
  const wide &operator()(index i, index j) const { return at[count(i * cols + j)]; }
};

matrix operator*(const matrix &a, const matrix &b) {
  matrix out(a.rows, b.cols);
  for (index i = 0; i < a.rows; ++i)
    for (index k = 0; k < a.cols; ++k)
      for (index j = 0; j < b.cols; ++j)
        out(i, j) = out(i, j) + a(i, k) * b(k, j);
  return out;
}
matrix operator+(matrix a, const matrix &b) {
  for (std::size_t i = 0; i < a.at.size(); ++i)
    a.at[i] = a.at[i] + b.at[i];
  return a;
}
matrix operator-(matrix a, const matrix &b) {
  for (std::size_t i = 0; i < a.at.size(); ++i)
    a.at[i] = a.at[i] - b.at[i];
  return a;
}
matrix transposed(const matrix &a) {
  matrix out(a.cols, a.rows);
  for (index i = 0; i < a.rows; ++i)
    for (index j = 0; j < a.cols; ++j)
      out(j, i) = a(i, j);
  return out;
}

// a^-1 b by elimination with row exchanges; NaN where a is singular.
matrix solved(matrix a, matrix b) {
  const index n = a.rows;
  for (index k = 0; k < n; ++k) {
    index pivot = k;
    for (index i = k + 1; i < n; ++i)
      if (std::abs(a(i, k).high) > std::abs(a(pivot, k).high))
        pivot = i;
    for (index j = 0; j < n && pivot != k; ++j)
      std::swap(a(k, j), a(pivot, j));
    for (index j = 0; j < b.cols && pivot != k; ++j)
      std::swap(b(k, j), b(pivot, j));
    for (index i = 0; i < n; ++i) {
      if (i == k)
        continue;
      const wide factor = a(i, k) / a(k, k);
      for (index j = k; j < n; ++j)
        a(i, j) = a(i, j) - factor * a(k, j);
      for (index j = 0; j < b.cols; ++j)
        b(i, j) = b(i, j) - factor * b(k, j);
    }
  }
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < b.cols; ++j)
      b(i, j) = b(i, j) / a(i, i);
  return b;
}

// Largest |a - b| / sqrt(b_ii b_jj).
double change(const matrix &a, const matrix &b) {
  double largest = 0;
  for (index i = 0; i < a.rows; ++i)
    for (index j = 0; j < a.cols; ++j) {
      const double difference = std::abs((a(i, j) - b(i, j)).high);
      if (difference > 0)
        largest = std::max(largest, difference / std::sqrt(b(i, i).high) / std::sqrt(b(j, j).high));
    }
  return largest;
}

bool finite(const matrix &a) {
  for (const wide &x : a.at)
    if (!std::isfinite(x.high) || !std::isfinite(x.low))
      return false;
  return true;
}

} // namespace

// The blocks of lds_steady.cpp: A, C and J of a step, joined with themselves.
buffer wide_doubling(const dense_model &s) {
  const index n = s.n, p = s.p;
  const matrix A(n, n, s.A), H(p, n, s.C), Q(n, n, s.Q), R(p, p, s.R);
  matrix identity(n, n, small::identity(n));
  const matrix HA = H * A, HQ = H * Q, S = HQ * transposed(H) + R;
  matrix a = A - transposed(HQ) * solved(S, HA);
  matrix c = Q - transposed(HQ) * solved(S, HQ);
  matrix j = transposed(HA) * solved(S, HA);
  matrix P = A * c * transposed(A) + Q;
  interrupt_poll poll;
  for (int k = 0; k < 60; ++k) {
    poll();
    const matrix joint = identity + c * j;
    const matrix xa = solved(joint, a), xc = solved(joint, c);
    j = j + transposed(a) * (j * xa);
    c = c + a * xc * transposed(a);
    a = a * xa;
    if (!finite(a) || !finite(c) || !finite(j))
      return {};
    const matrix next = A * c * transposed(A) + Q;
    const double moved = change(P, next);
    P = next;
    if (moved <= 1e-22)
      break;
  }
  buffer out(count(n * n));
  for (index i = 0; i < n; ++i)
    for (index k = 0; k < n; ++k)
      out[count(i * n + k)] = ((P(i, k) + P(k, i)) * wide(0.5)).high;
  return out;
}

} // namespace eigenflow::lds
