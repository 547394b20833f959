// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of the Gaussian log-likelihood of a linear system with respect to all its matrices.
#pragma once

#include <eigenflow/lds.hpp>

#include <vector>

namespace eigenflow::lds {

// Row-major derivatives, of the shapes of what they belong to: one after the other for each step
// where the model's stride in time is not 0, and summed over the steps where it is. Those of
// symmetric matrices are symmetric: a change dQ moves the log-likelihood by the sum of
// state_noise * dQ. What the model does not have stays empty.
struct score_result {
  double log_likelihood = 0; // exact diffuse, all constants, as filter_result
  index n_observed = 0;
  std::vector<double> transition, observation, state_noise, obs_noise; // A, C, Q, R
  std::vector<double> cross_noise, state_input, obs_input;             // S, B, D
  std::vector<double> state_offset, obs_offset;                        // c, d
  std::vector<double> mean, cov, diffuse;                              // of the start
  // Sum over all steps of E x_t x_t', given all observations, and the last term of it; empty where
  // they were not asked for.
  std::vector<double> second_moment, last_moment;
};

// Disturbance smoother (Koopman and Shephard, Biometrika 79, 1992), extended to A, C and the start
// by Fisher's identity: the derivative is the mean, given the data, of that of the complete
// log-likelihood. The diffuse part of the start is a regression on n_diffuse columns, which become
// part of the covariance as soon as the data determine them well (de Jong and Chu-Chun-Lin, J. Time
// Series Anal. 15, 1994). Cost: about 10 n^3 flops a step until the covariances are steady, 4 n^3
// more with moments, then 8 n (n + p); memory 8 (n + p) bytes a step and 8 n (n + p), rows rounded
// up to 64 bytes, for each with covariances of its own. Throws argument_error where an innovation
// covariance is singular or the data do not determine the diffuse directions.
// `progress` counts a step when it went by in both directions.
score_result score(const model &system, const belief &start, const observations &series,
                   bool moments = true, const progress_hook &progress = {});

// One series of a batch; `at` and `done` are called on several threads, `done` once for each.
struct score_batch {
  index n_series = 0;
  std::function<problem(index)> at; // `out` is not used
  std::function<void(index, score_result &&)> done;
  progress_hook progress = {};
};

// Throws series_error for the series that failed.
void score(const score_batch &series, int workers, bool moments = true);

} // namespace eigenflow::lds
