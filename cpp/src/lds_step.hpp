// SPDX-License-Identifier: BSD-3-Clause
// One step of the filter with its covariance: the observed numbers of a row come in one at a time.
#pragma once

#include "small_matrix.hpp"

#include <eigenflow/lds.hpp>

#include <vector>

namespace eigenflow::lds {

using small::buffer;
using small::count;

struct dense_model {
  explicit dense_model(const model &system);
  index n, p;
  buffer A, C, Q, R, c, d;
};

// The observed rows of C and y, rotated by the unit lower factor of R = L D L' so that their noises
// are independent; cached as long as the same rows are missing.
class observed_rows {
public:
  explicit observed_rows(const dense_model &system);
  // Reads row y; true when all of it is observed.
  bool read(vector_view<const double> y);

  index n_rows = 0;
  buffer loadings; // n_rows x n
  buffer noise;    // n_rows
  buffer values;   // n_rows, offsets taken off

private:
  void factor();
  const dense_model &system_;
  std::vector<char> seen_, pattern_;
  std::vector<index> rows_;
  buffer lower_;
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
  explicit stepper(const dense_model &system);
  // Conditions on the observed rows; returns the log-likelihood term. `trace`, when not null,
  // gets one entry for each row.
  double update(belief &state, const observed_rows &rows, std::vector<scalar_update> *trace);
  void predict(belief &state);
  // False once a variance has left the range of double: the laws that follow are not to be used.
  bool in_range() const { return in_range_; }

private:
  double absorb(belief &state, const double *z, double noise, double innovation,
                scalar_update &entry);
  double condition(belief &state, const double *z, double noise, double innovation,
                   double reference, scalar_update &entry);
  void shrink(belief &state, const double *gain, const double *z, double noise);
  const dense_model &system_;
  buffer work_, other_, gain_, projection_;
  scalar_update scratch_;
  bool in_range_ = true;
};

} // namespace eigenflow::lds
