// SPDX-License-Identifier: BSD-3-Clause
// One step of the filter with its covariance: the observed numbers of a row come in one at a time.
#pragma once

#include "lds_model.hpp"

#include <vector>

namespace eigenflow::lds {

// The observed rows of C and y, rotated by the unit lower factor of R = L D L' so that their noises
// are independent; and the move to the next step given what they say about the state noise. Cached
// as long as the same rows are missing.
class observed_rows {
public:
  explicit observed_rows(const dense_model &system);
  // Reads row y; true when all of it is observed.
  bool read(vector_view<const double> y);

  index n_rows = 0;
  buffer loadings; // n_rows x n
  buffer noise;    // n_rows
  buffer values;   // n_rows, offsets taken off

  // x' = transition x + carried values + c + e, e ~ N(0, state_noise) independent of `values`.
  const buffer &transition() const { return correlated_ ? A_ : system_.A; }
  const buffer &state_noise() const { return correlated_ ? Q_ : system_.Q; }
  bool correlated() const { return correlated_; }
  void add_carried(double *mean) const;

  // Which rows are observed (the first n_rows), and their unit lower factor.
  const std::vector<index> &observed() const { return rows_; }
  const buffer &lower() const { return lower_; }
  // What the rotated observed noises tell of the state noise, n x n_rows where `correlated`.
  const buffer &carried() const { return carried_; }
  // Another number for another pattern or other matrices.
  index revision() const { return revision_; }

private:
  bool read_one(double y);
  void factor();
  void decorrelate();
  const dense_model &system_;
  index version_ = -1, revision_ = 0;
  std::vector<char> seen_, pattern_;
  std::vector<index> rows_;
  buffer lower_;
  bool correlated_ = false;
  buffer A_, Q_, carried_; // carried_ is n x n_rows
};

// What one observed number did, for the smoother.
struct scalar_update {
  bool used = false;
  double innovation = 0;
  double variance = 0;         // finite part
  double diffuse_variance = 0; // > 0 when a diffuse direction absorbed the number
  buffer covariance;           // P z
  buffer diffuse_covariance;   // P_infinity z
};

class stepper {
public:
  stepper(const dense_model &system, update_form form);
  // Conditions on the observed rows; returns the log-likelihood term. `trace`, when not null,
  // gets one entry for each row.
  double update(belief &state, const observed_rows &rows, std::vector<scalar_update> *trace);
  // Moves to the next step, after `update` with the same rows.
  void predict(belief &state, const observed_rows &rows);
  // To be called when `state.cov` was changed from outside.
  void restart() { root_.clear(); }
  // The root that belongs to `state.cov`, in array form.
  const buffer &root() const { return root_; }
  void resume(const buffer &root) { root_ = root; }
  // The mean alone, as `predict`.
  void move_mean(belief &state, const observed_rows &rows);
  // False once a variance has left the range of double: the laws that follow are not to be used.
  bool in_range() const { return in_range_; }

private:
  double absorb(belief &state, const double *z, double noise, double innovation,
                scalar_update &entry);
  double condition(belief &state, const double *z, double noise, double innovation,
                   double reference, scalar_update &entry);
  void shrink(belief &state, const double *z, double noise);
  void predict_diffuse(belief &state, const buffer &A);
  const dense_model &system_;
  update_form form_;
  buffer work_, other_, gain_, projection_, spread_;
  // Array form: state.cov = root root', n x n.
  buffer root_, noise_root_, noise_of_root_, stacked_;
  scalar_update scratch_;
  bool in_range_ = true;
};

// What `automatic` stands for, for this system and start.
update_form resolve_form(update_form form, const dense_model &system, const belief &start);

} // namespace eigenflow::lds
