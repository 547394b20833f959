// SPDX-License-Identifier: BSD-3-Clause
// The filter of the score: its means carry one more column for each diffuse direction, until the
// data determine these: then they join the covariance.
#pragma once

#include "lds_model.hpp"

#include <cstdint>

namespace eigenflow::lds::scoring {

// What the covariance recursion did at one step; steps with the same one share it.
struct gain_slot {
  std::vector<index> rows; // which numbers were observed
  index version = 0;       // of the matrices
  buffer C;                // their loadings, m x n
  buffer P;                // predicted covariance
  buffer K;                // (A P C' + S) F^-1, n x m
  buffer L;                // A - K C
  buffer precision;        // F^-1
  double log_det = 0;      // of F
};

// out += scale a b', a is m x k and b is n x k.
void add_product(index m, index n, index k, double scale, const double *a, const double *b,
                 double *out);

inline void add(double scale, const buffer &a, double *out) {
  for (std::size_t i = 0; i < a.size(); ++i)
    out[i] += scale * a[i];
}

// Whether two covariances agree to rounding in units of their own standard deviations.
bool close(index n, const buffer &a, const buffer &b);

// The coefficients z of the diffuse columns given all rows before a step: coefficients + root'z
// with z ~ N(0, I), and what z adds to the state, spread z.
struct diffuse_posterior {
  buffer coefficients, root, spread; // k, k x k, n x k
};

class forward_pass {
public:
  forward_pass(const model &system, const belief &start, const observations &series);
  // `early` lets the columns join the covariance before the end.
  void run(bool early);

  // Columns of the means and errors of step t.
  index width_at(index t) const { return t < joined ? width : 1; }
  const double *state(index t) const { return states_.data() + place(t, n); }
  const double *error(index t) const { return errors_.data() + place(t, p); }

  model_cursor cursor;
  const dense_model &now;
  index n, p, k, width, n_steps;
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
  void open_slot(std::vector<index> rows);
  void advance(index t, const gain_slot &slot);
  void gather(const double *v, const double *e, index columns);
  void advance_covariance(const gain_slot &slot);
  bool join(index t, double least_pivot);

  matrix_view<const double> y_;
  buffer P_, mean_;            // mean_ is n x width
  buffer states_, errors_;     // errors_: F^-1 times the innovations, the observed ones first
  buffer information_, right_; // of the diffuse coefficients
  buffer v_, e_, next_, moved_, S_, rest_, next_cov_, wide_, noise_, work_;
  bool steady_ = false;
};

} // namespace eigenflow::lds::scoring
