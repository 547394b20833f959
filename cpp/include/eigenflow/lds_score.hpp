// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of the Gaussian log-likelihood of a linear system with respect to all its matrices.
#pragma once

#include <eigenflow/lds.hpp>

#include <vector>

namespace eigenflow::lds {

// Row-major derivatives, of the shapes of what they belong to. Those of symmetric matrices are
// symmetric: a change dQ moves the log-likelihood by the sum of state_noise * dQ.
struct score_result {
  double log_likelihood = 0; // exact diffuse, all constants, as filter_result
  index n_observed = 0;
  std::vector<double> transition, observation, state_noise, obs_noise; // A, C, Q, R
  std::vector<double> state_offset, obs_offset;                        // c, d
  std::vector<double> mean, cov, diffuse;                              // of the start
  // Sum over all steps of E x_t x_t', given all observations, and the last term of it.
  std::vector<double> second_moment, last_moment;
};

// Disturbance smoother (Koopman and Shephard, Biometrika 79, 1992), extended to A, C and the start
// by Fisher's identity: the derivative is the mean, given the data, of that of the complete
// log-likelihood. The diffuse part of the start is integrated out as a regression on n_diffuse
// columns. Cost: about 12 n^3 flops a step until the covariances are steady, then 6 n (n + p)
// (1 + n_diffuse); memory 8 (n + p) (1 + n_diffuse) bytes a step. Throws argument_error where an
// innovation covariance is singular or the data do not determine the diffuse directions.
score_result score(const model &system, const belief &start, matrix_view<const double> y);

} // namespace eigenflow::lds
