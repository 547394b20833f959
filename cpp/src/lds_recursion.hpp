// SPDX-License-Identifier: BSD-3-Clause
// How the state of a group of chunks moves under the constant gain: step by step where rows are
// wanted; where only the sum of squares is, several steps at a time, or mode by mode.
#pragma once

#include "isa/lds_squares.hpp"
#include "lds_modes.hpp"
#include "lds_tiles.hpp"

namespace eigenflow::lds {

// Several steps as one matrix: it costs n^2 / steps + 2 n p + p^2 (steps + 1) / 2 multiplications
// a step instead of n^2 + 2 n p.
class lifted_filter {
public:
  lifted_filter() = default;
  lifted_filter(const dense_model &system, const steady_filter &f);
  index steps() const { return steps_; }
  isa::lds_lift view() const { return {n_, p_, steps_, innovations_.data(), state_.data()}; }

private:
  index n_ = 0, p_ = 0, steps_ = 1;
  buffer innovations_, state_;
};

class recursion {
public:
  // `squares_only` for a run of so many steps that setting up is worth while.
  recursion(const steady_series &series, bool squares_only);
  // State is [n][lane]: of the system, or z of the modes, which have a pass of their own: they read
  // rows of memory, one a lane. Null `sums` only move the state.
  void pass_modes(const double *const *rows, index steps, double *state, double *sums) const;
  void advance(const tiles::input_tile &in, index steps, double *state) const;
  void observe(const tiles::input_tile &in, index steps, const isa::lds_tile &rows, double *state,
               double *sums) const;
  void enter(const buffer &mean, double *state, index lane) const;
  // Largest component of a difference of states, in units of the steady scale.
  double size(const buffer &difference) const;
  double cost() const; // multiplications a step
  bool modal() const { return modes_.has_value(); }

private:
  const steady_series &series_;
  isa::lds_gain gain_;
  std::optional<modal_filter> modes_;
  std::optional<lifted_filter> lifted_;
};

} // namespace eigenflow::lds
