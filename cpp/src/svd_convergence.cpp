// SPDX-License-Identifier: BSD-3-Clause
#include "svd_convergence.hpp"

#include "svd_detail.hpp"

#include <numeric>

namespace eigenflow::svd {
namespace {

constexpr double beyond = 1.25; // a block shows less than the largest value outside
constexpr double apart = 1e-3; // relative distance of values that a few sweeps tell from each other
constexpr double usual_fall = 16; // of what is to come, with a block; later it falls faster
constexpr double margin = 1.3;    // what is missing is more than what the next block brings

double gain(double residual_squared, double gap) {
  if (residual_squared == 0)
    return 0;
  return gap > 0 ? residual_squared / gap : std::numeric_limits<double>::infinity();
}

} // namespace

template <class W>
void convergence::look(const std::vector<double> &squares, matrix_view<const W> residuals,
                       double rounding, const block_values &newest) {
  before_.swap(captured_);
  captured_.assign(1, 0.0);
  std::partial_sum(squares.begin(), squares.end(), std::back_inserter(captured_));
  missing_.assign(1, 0.0);
  hidden_.assign(1, 0.0);
  coming_.assign(1, 0.0);
  for (index j = 0; j < residuals.cols; ++j) {
    const double square = squared_norm(residuals.col(j)), value = squares[as_size(j)];
    const double above = value - beyond * newest.first;
    missing_.push_back(missing_.back() + gain(square, above));
    // No value moves by more than the norm of what couples it to others (Weyl).
    hidden_.push_back(hidden_.back() + std::min(gain(rounding * rounding, above), rounding));
    coming_.push_back(coming_.back() + gain(square, value - newest.mean));
  }
}

double least_leading_value(double outside, double allowed) {
  return std::clamp(1.5 + 0.5 * (std::log(outside / allowed) - 4.8), 1.5, 2.9) * outside;
}

index pace::blocks_to_wait(double coming, double allowed, index n_blocks) {
  const double need = margin * coming / allowed;
  const bool known = std::isfinite(last_coming_) && coming < last_coming_;
  const double fall = known
                          ? std::log(last_coming_ / coming) / static_cast<double>(n_blocks - last_)
                          : std::log(usual_fall);
  const double wait = std::isfinite(need) && need > 1 ? std::log(need) / std::max(fall, 0.1) : 1;
  last_ = n_blocks;
  last_coming_ = coming;
  return std::clamp<index>(static_cast<index>(wait), 1, std::max<index>(2, n_blocks / 4));
}

bool may_hide_copies(const std::vector<double> &squares, index rank, index width, double outside) {
  for (index first = 0, last = 0; first < rank; first = last) {
    const double least = (1 - apart) * squares[as_size(first)];
    while (last < rank && squares[as_size(last)] >= least)
      ++last;
    if (last - first >= width && last < rank && outside >= least)
      return true;
  }
  return false;
}

// L D L^H of the shifted matrix, by rows of the upper triangle: a row reaches `width` to the right.
template <class W> index count_above(matrix_view<const W> band, index width, double t) {
  const index n = band.cols, reach = width + 1;
  std::vector<W> rows(as_size(n * reach), W(0));
  for (index i = 0; i < n; ++i)
    for (index j = i; j < std::min(n, i + reach); ++j)
      rows[as_size(i * reach + j - i)] = band(i, j) - (i == j ? W(t) : W(0));
  index count = 0;
  for (index i = 0; i < n; ++i) {
    const W *row = &rows[as_size(i * reach)];
    const double pivot = std::real(row[0]);
    count += pivot > 0;
    if (pivot == 0)
      continue;
    for (index k = 1; k < std::min(reach, n - i); ++k) {
      const W factor = conjugate(row[k]) / pivot;
      W *below = &rows[as_size((i + k) * reach)];
      for (index j = k; j < reach; ++j)
        below[j - k] -= factor * row[j];
    }
  }
  return count;
}

#define EF_INSTANTIATE(W)                                                                          \
  template void convergence::look<W>(const std::vector<double> &, matrix_view<const W>, double,    \
                                     const block_values &);                                        \
  template index count_above<W>(matrix_view<const W>, index, double);
EF_INSTANTIATE(double)
EF_INSTANTIATE(std::complex<double>)

} // namespace eigenflow::svd
