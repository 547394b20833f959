// SPDX-License-Identifier: BSD-3-Clause
#include "lds_known.hpp"

#include <cmath>

namespace eigenflow::lds {
namespace {

// The parts of one gain: columns of `width` numbers, then a triangle.
class gain_parts {
public:
  explicit gain_parts(const dense_model &s)
      : n_(s.n), p_(s.p), width_(isa::lds_known().width(s.n)),
        numbers_(count((n_ + 3 * p_) * width_ + p_ * p_)) {}
  double &F(index i, index j) { return numbers_[count(j * width_ + i)]; }
  double &L(index i, index k) { return F(i, n_ + k); }
  double &H(index i, index k) { return F(i, n_ + p_ + k); }
  double &K(index i, index k) { return F(i, n_ + 2 * p_ + k); }
  double &E(index k, index j) { return numbers_[count((n_ + 3 * p_) * width_ + k * p_ + j)]; }
  buffer take() { return std::move(numbers_); }

private:
  index n_, p_, width_;
  buffer numbers_;
};

// Row i of the rotated observations as a combination of y.
std::vector<buffer> rotation(const dense_model &s, const observed_rows &rows) {
  std::vector<buffer> out;
  for (index i = 0; i < rows.n_rows; ++i) {
    buffer row(count(s.p), 0.0);
    row[count(rows.observed()[count(i)])] = 1;
    for (index j = 0; j < i; ++j)
      for (index k = 0; k < s.p; ++k)
        row[count(k)] -= rows.lower()[count(i * rows.n_rows + j)] * out[count(j)][count(k)];
    out.push_back(std::move(row));
  }
  return out;
}

// The numbers of a row come in one at a time; returns the mean of the state given all of them, as a
// combination of the one before (n columns) and of y (p columns).
buffer conditioned_mean(const dense_model &s, const observed_rows &rows,
                        const std::vector<buffer> &rotated, const std::vector<scalar_update> &trace,
                        gain_parts &parts) {
  const index n = s.n, width = n + s.p;
  buffer mean(count(n * width)), innovation(count(width));
  for (index i = 0; i < n; ++i)
    mean[count(i * width + i)] = 1;
  for (index i = 0; i < rows.n_rows; ++i) {
    const scalar_update &u = trace[count(i)];
    if (!u.used)
      continue;
    const index k = rows.observed()[count(i)];
    const double root = std::sqrt(u.variance);
    small::multiply(1, n, width, rows.loadings.data() + i * n, mean.data(), innovation.data());
    for (index j = 0; j < width; ++j)
      innovation[count(j)] = (j < n ? 0.0 : rotated[count(i)][count(j - n)]) - innovation[count(j)];
    for (index j = 0; j < n; ++j) {
      parts.H(j, k) = -innovation[count(j)] / root;
      parts.K(j, k) = u.covariance[count(j)] / root;
      for (index l = 0; l < width; ++l)
        mean[count(j * width + l)] += u.covariance[count(j)] / u.variance * innovation[count(l)];
    }
    for (index j = 0; j <= k; ++j)
      parts.E(k, j) = innovation[count(n + j)] / root;
  }
  return mean;
}

} // namespace

buffer steady_gain(const dense_model &s, const steady_filter &f) {
  const index n = s.n, p = s.p;
  gain_parts parts(s);
  buffer seen(count(n * p)), half(count(n * p)); // P C' and P C' S^(-1/2)'
  small::multiply_right_transposed(n, n, p, f.P.data(), s.C.data(), seen.data());
  small::multiply_right_transposed(n, p, p, seen.data(), f.whiten.data(), half.data());
  buffer white(count(p * n));
  small::multiply(p, p, n, f.whiten.data(), s.C.data(), white.data());
  for (index i = 0; i < n; ++i) {
    for (index j = 0; j < n; ++j)
      parts.F(i, j) = f.F[count(i * n + j)];
    for (index k = 0; k < p; ++k) {
      parts.L(i, k) = f.L[count(i * p + k)];
      parts.H(i, k) = white[count(k * n + i)];
      parts.K(i, k) = half[count(i * p + k)];
    }
  }
  for (index k = 0; k < p; ++k)
    for (index j = 0; j <= k; ++j)
      parts.E(k, j) = f.whiten[count(k * p + j)];
  return parts.take();
}

buffer gain_of_row(const dense_model &s, const observed_rows &rows,
                   const std::vector<scalar_update> &trace) {
  const index n = s.n, p = s.p, width = n + p;
  gain_parts parts(s);
  const std::vector<buffer> rotated = rotation(s, rows);
  const buffer mean = conditioned_mean(s, rows, rotated, trace, parts);
  buffer next(count(n * width));
  small::multiply(n, n, width, rows.transition().data(), mean.data(), next.data());
  for (index i = 0; i < n; ++i) {
    for (index j = 0; j < n; ++j)
      parts.F(i, j) = next[count(i * width + j)];
    for (index k = 0; k < p; ++k)
      parts.L(i, k) = next[count(i * width + n + k)];
    for (index r = 0; r < rows.n_rows && rows.correlated(); ++r)
      for (index k = 0; k < p; ++k)
        parts.L(i, k) += rows.carried()[count(i * rows.n_rows + r)] * rotated[count(r)][count(k)];
  }
  return parts.take();
}

} // namespace eigenflow::lds
