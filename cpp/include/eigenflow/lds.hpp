// SPDX-License-Identifier: BSD-3-Clause
// Linear Gaussian systems x' = A x + B u + c + w, y = C x + D u + d + v with w ~ N(0, Q),
// v ~ N(0, R), cov(w, v) = S: filter, smoother, likelihood, steady state. Everything is double: a
// covariance in single precision loses definiteness. NaN is a missing observation, and one row may
// be missing in part.
#pragma once

#include <eigenflow/communicator.hpp>
#include <eigenflow/errors.hpp>
#include <eigenflow/views.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace eigenflow::lds {

// Elements between the entries of one step and those of the next; 0 for what is constant.
struct model_strides {
  index transition = 0, observation = 0, state_noise = 0, obs_noise = 0, cross_noise = 0;
  index state_offset = 0, obs_offset = 0, state_input = 0, obs_input = 0;
};

// n states, p observed series, m inputs. The views show the first step. Empty offsets, inputs and
// cross noise are zero. Q and R are symmetric positive semidefinite, and so is [Q S; S' R]; only
// shapes are checked here.
struct model {
  matrix_view<const double> transition;        // A, n x n
  matrix_view<const double> observation;       // C, p x n
  matrix_view<const double> state_noise;       // Q, n x n
  matrix_view<const double> obs_noise;         // R, p x p
  vector_view<const double> state_offset = {}; // c
  vector_view<const double> obs_offset = {};   // d
  matrix_view<const double> cross_noise = {};  // S, n x p
  matrix_view<const double> state_input = {};  // B, n x m
  matrix_view<const double> obs_input = {};    // D, p x m
  model_strides step = {};
};

// A series y (T x p) and the known inputs that drove it (T x m, or none).
struct observations {
  matrix_view<const double> y, inputs;
  observations(matrix_view<const double> y_, matrix_view<const double> inputs_ = {})
      : y(y_), inputs(inputs_) {}
  observations(matrix_view<double> y_) : y(y_) {}
};

// Law of the state before it is observed: N(mean, cov), plus an infinite variance along the
// n_diffuse columns of `diffuse`. All are row-major.
struct belief {
  std::vector<double> mean, cov, diffuse;
  index n_diffuse = 0;
};

// Matrices stored once for each distinct value: the one of step t starts at values[index[t] *
// size].
struct covariance_sequence {
  std::vector<double> values;
  std::vector<std::int32_t> index;
};

// How an observed number changes the covariance. `standard` is P - P z z'P / f, the cheapest;
// `joseph` is a sum of two semidefinite terms; `array` keeps a square root of P and never forms a
// difference. `automatic` is array where an observation is so sharp against the start that Joseph's
// form would lose more than a third of the digits, else joseph.
enum class update_form { automatic, standard, joseph, array };

// Called on the thread that called, with the steps done so far; empty for none.
using progress_hook = std::function<void(index)>;

struct filter_options {
  bool store_predicted_cov = false;
  bool store_filtered_cov = false;
  bool store_innovation_cov = false;
  bool switch_to_steady = true; // false runs every covariance step and no lanes
  update_form form = update_form::automatic;
  bool check_finite = true; // an infinite observation throws argument_error
  int workers = 0;
  progress_hook progress = {};
};

// Where to write, one row a step; a view of no rows is not written.
struct filter_outputs {
  matrix_view<double> filtered_mean, predicted_mean; // T x n
  matrix_view<double> innovations;                   // T x p, NaN where missing
  vector_view<double> log_likelihood_terms;          // T
};

struct filter_result {
  // Exact diffuse: each observed number counts -(log 2 pi) / 2, also those that a diffuse
  // direction absorbs, which give -(log F_infinity) / 2 besides (Durbin and Koopman 2012, 7.2.5).
  double log_likelihood = 0;
  index n_diffuse = 0;    // steps that began with a diffuse direction left
  index steady_from = -1; // first step with the steady covariance; -1 for none
  // First-order bound on the error that the switch and the lanes add to a mean, in steady
  // predicted standard deviations and for standardised innovations of size one.
  double error_bound = 0;
  belief final_state; // before the observation that follows the last
  covariance_sequence predicted_cov, filtered_cov, innovation_cov;
};

// Cost: about 20 n^3 flops a step until the covariance is steady, then 2 n^2 + 4 n p. Long steady
// runs are cut into chunks of time that run side by side in SIMD lanes and on workers; the cut
// depends on the length of the run only, so any number of workers gives the same bytes. During
// diffuse steps the covariances hold the finite part. Throws argument_error where a mean or a
// variance leaves the range of double, as after hundreds of steps of an unstable mode unseen.
filter_result filter(const model &system, const belief &start, const observations &series,
                     const filter_outputs &out, const filter_options &options);

// One series that is cut in time: rank r holds the steps that follow those of rank r - 1, any
// number of them, none included; for a system that changes, its views show the steps of the block.
// All ranks give the same `start`, the law before the first step of all. `out` and the result are
// those of the block, but log_likelihood and n_diffuse are sums over all. One message of 3 n^2 + 2
// n doubles travels log2(ranks) times. A block is filtered before it knows its start; once that is
// there, the steps that remember it are filtered again: for a system that forgets its start within
// the block, the work is that of `filter` and of those steps, else up to about four times as much.
// R must be positive definite beyond the first rank.
filter_result filter(const model &system, const belief &start, const observations &block,
                     const filter_outputs &out, const filter_options &options,
                     const rank_group &ranks);
template <communicator C>
filter_result filter(const model &system, const belief &start, const observations &block,
                     const filter_outputs &out, const filter_options &options, const C &comm) {
  const group_of<C> ranks(comm);
  return filter(system, start, block, out, options, static_cast<const rank_group &>(ranks));
}

// One series of a batch.
struct problem {
  model system;
  belief start;
  observations series;
  filter_outputs out = {};
};

struct steady_filter;

// The steady state of one system, kept once a call has found it. Any thread may ask; those that ask
// before the first has found it each find it themselves, and none waits for another.
class steady_memory {
public:
  steady_memory();
  ~steady_memory();
  steady_memory(const steady_memory &) = delete;
  steady_memory &operator=(const steady_memory &) = delete;
  // As `find` gives it, which is told how many plain steps it may take.
  std::shared_ptr<const steady_filter> get(index most_steps,
                                           const std::function<steady_filter(index)> &find);

private:
  class state;
  std::unique_ptr<state> state_;
};

// The functions are called on several threads at a time, `done` once for each series.
struct batch {
  index n_series = 0;
  bool shared_system = true;       // one system for all: its steady state is found once,
  steady_memory *memory = nullptr; // and kept here for later calls with the same system
  std::function<problem(index)> at;
  std::function<void(index, filter_result &&)> done;
};

// Filters each series as `filter` does one. Throws series_error for the series that failed.
void filter(const batch &series, const filter_options &options);

struct series_error : argument_error {
  series_error(const argument_error &error, index series_)
      : argument_error(error.what()), series(series_) {}
  index series;
};

struct smoother_options {
  bool store_cov = false;
  bool store_lag_one_cov = false; // Cov(x_t+1, x_t) for each t but the last
  bool store_state_disturbance_cov = false;
  bool store_obs_disturbance_cov = false;
  bool switch_to_steady = true;
  update_form form = update_form::automatic;
  bool check_finite = true;
  int workers = 0;
  progress_hook progress = {};
};

// Rows of a step, or no rows. The disturbances are w, which leads to the next state, and v, also of
// what is missing.
struct smoother_outputs {
  matrix_view<double> smoothed_mean = {};     // T x n
  matrix_view<double> state_disturbance = {}; // T x n
  matrix_view<double> obs_disturbance = {};   // T x p
};

struct smoother_result {
  double log_likelihood = 0;
  index n_diffuse = 0;
  index steady_from = -1;
  // As that of filter_result, for the smoothed means: the forward error, and what the backward
  // recursion makes of it.
  double error_bound = 0;
  covariance_sequence smoothed_cov, lag_one_cov, state_disturbance_cov, obs_disturbance_cov;
};

// Laws given all observations. Steady runs are smoothed in chunks of time, as in the filter. Memory
// beyond the result: 32 MB for the laws of steps that are not steady, with checkpoints from which
// they are made again, and n doubles for each 1000 steps. Throws as filter does.
smoother_result smooth(const model &system, const belief &start, const observations &series,
                       const smoother_outputs &out, const smoother_options &options);

struct smoother_problem {
  model system;
  belief start;
  observations series;
  smoother_outputs out = {};
};

struct smoother_batch {
  index n_series = 0;
  bool shared_system = true;
  steady_memory *memory = nullptr;
  std::function<smoother_problem(index)> at;
  std::function<void(index, smoother_result &&)> done;
};

void smooth(const smoother_batch &series, const smoother_options &options);

struct steady_result {
  std::vector<double> predicted_cov;  // P, n x n
  std::vector<double> gain;           // K, n x p: filtered mean = predicted mean + K innovation
  std::vector<double> innovation_cov; // S = C P C' + R
  double spectral_radius = 0;         // of A - A K C
  double residual = 0; // largest change of one Riccati step, relative to standard deviations
};

// The stabilising solution of the Riccati equation, by structured doubling, in twice the digits
// where spectral_radius is above 0.98, so that its relative error stays at a few eps. Throws
// convergence_error when there is none.
steady_result steady_state(const model &system);

// In place: row t + 1 becomes A row t + B u + c + row t + 1, for the rows of noise in `states`; row
// 0 is the first state.
void propagate(const model &system, matrix_view<const double> inputs, matrix_view<double> states);

} // namespace eigenflow::lds
