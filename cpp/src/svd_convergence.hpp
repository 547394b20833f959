// SPDX-License-Identifier: BSD-3-Clause
// How much energy the leading Ritz values of a Krylov basis still lack. With A^H A X = X D + R for
// the Ritz vectors X, a value d lacks less than |r|^2 / (d - m), to second order, m the largest
// value outside of the basis (Parlett 1998, section 11.7). The newest block shows m: it is the last
// that was taken out of the outside. No bound is known for values that do not stand above it. What
// the rounding of R hides, |rounding|^2 / (d - m), shows only in what a further block adds.
#pragma once

#include <eigenflow/scalars.hpp>
#include <eigenflow/views.hpp>

#include <limits>
#include <vector>

namespace eigenflow::svd {

// The largest eigenvalue of a part of Y^H Y, and the mean of all.
struct block_values {
  double first, mean;
};

class convergence {
public:
  // Looks at a basis: its Ritz values, which descend; R without its orthonormal factor, a column
  // for each leading value, and the rounding of a column; and the values of the newest block.
  template <class W>
  void look(const std::vector<double> &squares, matrix_view<const W> residuals, double rounding,
            const block_values &newest);

  // Energy of the leading j values, and a bound on what it lacks: infinite where none is known.
  double captured(index j) const { return captured_[static_cast<std::size_t>(j)]; }
  double missing(index j) const { return entry(missing_, j); }
  double hidden(index j) const { return entry(hidden_, j); }
  // Energy that the leading j have gained since the look before, infinite at the first.
  double gained(index j) const {
    const double before = entry(before_, j);
    return before < unknown ? captured(j) - before : unknown;
  }
  // What the next block is expected to add, from the mean of the newest.
  double coming(index j) const { return entry(coming_, j); }

private:
  static constexpr double unknown = std::numeric_limits<double>::infinity();
  static double entry(const std::vector<double> &sums, index j) {
    const auto i = static_cast<std::size_t>(j);
    return i < sums.size() ? sums[i] : unknown;
  }

  std::vector<double> captured_, before_, missing_, hidden_, coming_;
};

// What leading values have reached, as a rule, when they lack no more than `allowed` and the
// largest value of the newest block is `outside`: from j^-1/4 to exp(-j/40). The less may be
// missing, the further they stand out.
double least_leading_value(double outside, double allowed);

// From look to look: how fast falls what is still to come?
class pace {
public:
  // Blocks to add before `coming` may be down at `allowed`, in a basis of n blocks.
  index blocks_to_wait(double coming, double allowed, index n_blocks);

private:
  index last_ = 0; // blocks at the look before, and what was expected there
  double last_coming_ = std::numeric_limits<double>::infinity();
};

// A value of A^H A has as many copies in the basis as a block has columns, `width`, and no more but
// for rounding: where so many of the leading values agree and smaller ones follow, some may be left
// outside, if the energy there is enough for one.
bool may_hide_copies(const std::vector<double> &squares, index rank, index width, double outside);

// The number of eigenvalues above t of a Hermitian band matrix, whose `width` diagonals beside the
// main one are read from the upper triangle (Sylvester's law). Without pivots, for n width^2
// operations: t must not be close to an eigenvalue of a leading block, or the count may be off.
template <class W> index count_above(matrix_view<const W> band, index width, double t);

} // namespace eigenflow::svd
