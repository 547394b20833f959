// SPDX-License-Identifier: BSD-3-Clause
#include "lds_gaps.hpp"

#include "isa/lds.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <string>

namespace eigenflow::lds {
namespace {

// Messages are made only when they are thrown: a string a step would cost as much as the step.
[[noreturn]] void refuse_infinity(double value, index t, index k) {
  throw argument_error("y: got " + std::string(value > 0 ? "inf" : "-inf") + " at position (" +
                       std::to_string(t) + ", " + std::to_string(k) +
                       "), want finite values, or NaN for a missing one");
}

bool row_is_finite(matrix_view<const double> y, index t) {
  for (index k = 0; k < y.cols; ++k)
    if (!std::isfinite(y(t, k)))
      return false;
  return true;
}

index first_gap(matrix_view<const double> y, index begin, index end) {
  index t = begin;
  if (y.row_stride == y.cols && (y.cols == 1 || y.col_stride == 1))
    for (const index width : {256, 16})
      while (t + width <= end && isa::lds().finite(&y(t, 0), width * y.cols))
        t += width;
  while (t < end && row_is_finite(y, t))
    ++t;
  return t;
}

index next_gap(matrix_view<const double> y, index begin, index end, int workers) {
  constexpr index piece = 1 << 14;
  if (end - begin <= piece)
    return first_gap(y, begin, end);
  const index n_pieces = (end - begin + piece - 1) / piece;
  std::vector<index> found(count(std::max<index>(n_pieces, 0)), end);
  parallel_for(
      n_pieces, 8,
      [&](index first, index last, int) {
        for (index k = first; k < last; ++k) {
          const index from = begin + k * piece, to = std::min(end, from + piece);
          const index gap = first_gap(y, from, to);
          if (gap < to) {
            found[count(k)] = gap;
            return;
          }
        }
      },
      workers);
  index gap = end;
  for (const index t : found)
    gap = std::min(gap, t);
  return gap;
}

} // namespace

index gap_finder::next(index begin, index end) {
  if (begin < begin_ || begin > clear_) {
    begin_ = clear_ = begin;
    found_ = false;
  }
  if (!found_ && clear_ < end) {
    clear_ = next_gap(y_, clear_, end, workers_);
    found_ = clear_ < end;
  }
  return std::min(clear_, end);
}

void refuse_variance(index t) {
  throw argument_error("system: got a variance that leaves the range of double at step " +
                       std::to_string(t) +
                       ", want other units, or fewer steps of an unstable mode that is not seen");
}

void refuse_mean(index t) {
  throw argument_error("y: got numbers with which the state leaves the range of double by step " +
                       std::to_string(t) + ", want other units");
}

bool all_finite(const buffer &a) {
  double sums[4] = {}; // x - x is zero for finite x and NaN for others
  std::size_t i = 0;
  for (; i + 4 <= a.size(); i += 4)
    for (std::size_t l = 0; l < 4; ++l)
      sums[l] += a[i + l] - a[i + l];
  for (; i < a.size(); ++i)
    sums[0] += a[i] - a[i];
  return sums[0] + sums[1] + sums[2] + sums[3] == 0;
}

bool has_infinity(matrix_view<const double> y, index t) {
  for (index k = 0; k < y.cols; ++k)
    if (std::isinf(y(t, k)))
      return true;
  return false;
}

void check_row(matrix_view<const double> y, index t) {
  for (index k = 0; k < y.cols; ++k)
    if (std::isinf(y(t, k)))
      refuse_infinity(y(t, k), t, k);
}

} // namespace eigenflow::lds
