// SPDX-License-Identifier: BSD-3-Clause
// The filter of the score: its means carry one more column for each diffuse direction, until the
// data determine these: then they join the covariance.
#pragma once

#include "lds_model.hpp"
#include "lds_score_rows.hpp"

#include <cstdint>

namespace eigenflow::lds::scoring {

// What the covariance recursion did at one step; steps with the same one share it.
struct gain_slot {
  std::vector<index> rows; // which numbers were observed
  index version = 0;       // of the matrices
  row_view A;
  row_view C;         // their loadings, m x n
  row_view P;         // predicted covariance
  row_view K;         // transposed gain, F^-1 (A P C' + S)', m x n
  row_view precision; // F^-1
  double log_det = 0; // of F
};

// The coefficients z of the diffuse columns given all rows before a step: coefficients + root'z
// with z ~ N(0, I), and what z adds to the state, spread z.
struct diffuse_posterior {
  buffer coefficients, root, spread; // k, k x k, n x k
};

// Tells a hook of steps made in one direction of two, now and then and never of fewer.
class half_steps {
public:
  explicit half_steps(const progress_hook &hook) : hook_(hook) {}
  void done(index half) {
    if (hook_ && half >= next_) {
      hook_(half / 2);
      next_ = half + 4096;
    }
  }

private:
  const progress_hook &hook_;
  index next_ = 4096;
};

class forward_pass {
public:
  forward_pass(const model &system, const belief &start, const observations &series);
  // `early` lets the columns join the covariance before the end.
  void run(bool early, half_steps &told);

  // Columns of the means and errors of step t.
  index width_at(index t) const { return t < joined ? width : 1; }
  const double *state(index t) const { return states_.data() + place(t, n); }
  const double *error(index t) const { return errors_.data() + place(t, p); }

  model_cursor cursor;
  const dense_model &now;
  index n, p, k, width, n_steps;
  index steps_between_polls; // a clock costs as much as a small step
  std::vector<gain_slot> slots;
  std::vector<std::int32_t> at; // slot of each step
  index joined = 0;             // first step without diffuse columns
  diffuse_posterior posterior;  // before it
  double minus_twice = 0, diffuse_spread = 0;
  index n_observed = 0;

private:
  std::size_t place(index t, index rows) const {
    const index before = std::min(t, joined);
    return count(rows * (before * width + (t - before)));
  }
  void spread_diffuse(const belief &start);
  void step(index t);
  void open_slot(const std::vector<index> &rows);
  double invert_innovation();
  void advance(index t, const gain_slot &slot);
  void gather(index m);
  void advance_covariance();
  bool join(index t, double least_pivot);

  matrix_view<const double> y_;
  row_store store_;            // of the slots
  row_matrix P_, mean_;        // mean_ has a row for the mean and for each diffuse direction
  buffer states_, errors_;     // errors_: F^-1 times the innovations, the observed ones first
  buffer information_, right_; // of the diffuse coefficients
  std::vector<index> rows_;    // observed now
  row_view A_;                 // of version_
  row_matrix A_turned_;
  index version_ = -1;
  row_matrix v_, e_, next_, C_, CP_, gain_, K_, minus_K_, L_, S_, noise_, precision_, RK_, LP_,
      L_turned_, next_cov_;
  buffer units_, F_, white_;
  bool steady_ = false;
};

} // namespace eigenflow::lds::scoring
