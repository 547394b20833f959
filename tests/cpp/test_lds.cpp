// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/lds.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

namespace {

using eigenflow::col_major;
using eigenflow::row_major;
namespace lds = eigenflow::lds;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

struct local_level {
  double a = 1, c = 1, q, r;
  local_level(double state_noise, double obs_noise) : q(state_noise), r(obs_noise) {}
  lds::model view() const {
    return {row_major(&a, 1, 1), row_major(&c, 1, 1), row_major(&q, 1, 1), row_major(&r, 1, 1)};
  }
};

std::size_t count(std::int64_t n) { return static_cast<std::size_t>(n); }

lds::belief diffuse_level() { return {{0.0}, {0.0}, {1.0}, 1}; }

// Any smooth series will do.
std::vector<double> wave(std::int64_t n_steps) {
  std::vector<double> y;
  for (std::int64_t t = 0; t < n_steps; ++t)
    y.push_back(std::sin(0.7 * static_cast<double>(t)) + 0.01 * static_cast<double>(t % 17));
  return y;
}

} // namespace

TEST(steady_state_of_the_local_level_is_the_closed_form) {
  const local_level level(1469.1, 15099);
  const lds::steady_result s = lds::steady_state(level.view());
  const double want = level.q / 2 + std::sqrt(level.q * level.q / 4 + level.q * level.r);
  CHECK_CLOSE(s.predicted_cov[0], want, 1e-14);
  CHECK_CLOSE(s.gain[0], want / (want + level.r), 1e-14);
  CHECK_CLOSE(s.innovation_cov[0], want + level.r, 1e-14);
  CHECK_CLOSE(s.spectral_radius, level.r / (want + level.r), 1e-12);
  CHECK(s.residual < 1e-14);
}

TEST(a_mode_that_no_noise_reaches_has_no_steady_state) {
  const local_level level(0, 1);
  CHECK_THROWS(lds::steady_state(level.view()), eigenflow::convergence_error);
}

TEST(two_observations_of_a_diffuse_level) {
  // y1 fixes the level; y2 - y1 has variance q + 2 r.
  const local_level level(3, 2);
  const std::vector<double> y{5, 8};
  std::vector<double> filtered(2), terms(2);
  lds::filter_outputs out;
  out.filtered_mean = row_major(filtered.data(), 2, 1);
  out.log_likelihood_terms = {terms.data(), 2, 1};
  lds::filter_options options;
  options.store_predicted_cov = true;
  const auto result =
      lds::filter(level.view(), diffuse_level(), row_major(y.data(), 2, 1), out, options);
  const double log_two_pi = std::log(2 * std::acos(-1.0));
  CHECK_CLOSE(terms[0], -0.5 * log_two_pi, 1e-15);
  CHECK_CLOSE(terms[1], -0.5 * (log_two_pi + std::log(7.0) + 9.0 / 7), 1e-14);
  CHECK_CLOSE(result.log_likelihood, terms[0] + terms[1], 1e-14);
  CHECK_CLOSE(filtered[0], 5, 1e-15);
  CHECK_CLOSE(filtered[1], 5 + 3 * 5.0 / 7, 1e-15);
  CHECK(result.n_diffuse == 1);
  CHECK(result.final_state.n_diffuse == 0);
  CHECK_CLOSE(result.predicted_cov.values[static_cast<std::size_t>(result.predicted_cov.index[1])],
              5, 1e-15);
}

TEST(strided_rows_and_workers_give_the_same_bytes) {
  const std::int64_t n_steps = 40000;
  const local_level level(0.1, 1);
  const std::vector<double> y = wave(n_steps);
  std::vector<double> spread(static_cast<std::size_t>(2 * n_steps)), one(y.size()), two(y.size());
  for (std::size_t t = 0; t < y.size(); ++t)
    spread[2 * t] = y[t];
  lds::filter_options options;
  options.workers = 1;
  lds::filter_outputs out;
  out.filtered_mean = row_major(one.data(), n_steps, 1);
  const auto first =
      lds::filter(level.view(), diffuse_level(), row_major(y.data(), n_steps, 1), out, options);
  options.workers = 3;
  out.filtered_mean = col_major(two.data(), n_steps, 1);
  const auto second = lds::filter(
      level.view(), diffuse_level(),
      eigenflow::matrix_view<const double>{spread.data(), n_steps, 1, 2, 1}, out, options);
  CHECK(one == two);
  CHECK(first.log_likelihood == second.log_likelihood);
  CHECK(first.steady_from == second.steady_from && first.steady_from > 0);
}

TEST(chunks_in_lanes_agree_with_the_full_recursion) {
  const std::int64_t n_steps = 30011;
  const local_level level(0.02, 1);
  std::vector<double> y = wave(n_steps);
  y[12345] = missing;
  std::vector<double> fast(y.size()), full(y.size());
  lds::filter_options options;
  lds::filter_outputs out;
  out.predicted_mean = row_major(fast.data(), n_steps, 1);
  const auto a =
      lds::filter(level.view(), diffuse_level(), row_major(y.data(), n_steps, 1), out, options);
  options.switch_to_steady = false;
  out.predicted_mean = row_major(full.data(), n_steps, 1);
  const auto b =
      lds::filter(level.view(), diffuse_level(), row_major(y.data(), n_steps, 1), out, options);
  CHECK_CLOSE(a.log_likelihood, b.log_likelihood, 1e-12);
  CHECK(a.steady_from > 0 && b.steady_from == -1);
  for (std::size_t t = 0; t < y.size(); ++t)
    CHECK_CLOSE(fast[t], full[t], 1e-12);
}

TEST(smoother_reaches_the_closed_form_inside) {
  const local_level level(0.1, 1);
  const std::vector<double> y = wave(400);
  std::vector<double> smoothed(y.size());
  lds::smoother_options options;
  options.store_cov = true;
  const auto result = lds::smooth(level.view(), diffuse_level(), row_major(y.data(), 400, 1),
                                  {row_major(smoothed.data(), 400, 1)}, options);
  const double rho = lds::steady_state(level.view()).spectral_radius;
  const auto at = static_cast<std::size_t>(result.smoothed_cov.index[200]);
  CHECK_CLOSE(result.smoothed_cov.values[at], (1 - rho) / (1 + rho), 1e-12);
  // The smoothed level solves a tridiagonal system: (y - x_t)/r = (2 x_t - x_t-1 - x_t+1)/q.
  const double bend = 2 * smoothed[200] - smoothed[199] - smoothed[201];
  CHECK_CLOSE((y[200] - smoothed[200]) / level.r, bend / level.q, 1e-11);
}

TEST(wrong_shapes_and_infinite_numbers_are_refused) {
  const local_level level(1, 1);
  std::vector<double> y{1, std::numeric_limits<double>::infinity()};
  const lds::filter_options options;
  CHECK_THROWS(lds::filter(level.view(), diffuse_level(), row_major(y.data(), 2, 1), {}, options),
               eigenflow::argument_error);
  CHECK_THROWS(lds::filter(level.view(), diffuse_level(), row_major(y.data(), 1, 2), {}, options),
               eigenflow::argument_error);
  CHECK_THROWS(lds::filter(level.view(), {}, row_major(y.data(), 1, 1), {}, options),
               eigenflow::argument_error);
  lds::model odd = level.view();
  odd.observation = row_major(y.data(), 1, 2);
  CHECK_THROWS(lds::steady_state(odd), eigenflow::argument_error);
}

// The log-likelihood alone goes by modes where one number is observed, else by several steps at
// once; with its terms it goes step by step.
TEST(the_log_likelihood_alone_is_the_sum_of_its_terms) {
  const std::int64_t n_steps = 40001;
  for (const std::int64_t p : {1, 2, 3})
    for (const std::int64_t n : {1, 4, 7, 9}) {
      std::vector<double> A(count(n * n)), C(count(p * n)), Q(count(n * n)), R(count(p * p));
      for (std::int64_t i = 0; i < n; ++i) {
        A[count(i * n + i)] = 0.9 - 0.17 * static_cast<double>(i);
        A[count(i * n + (i + 1) % n)] += i % 2 == 0 ? 0.3 : -0.4;
        Q[count(i * n + i)] = 1;
      }
      for (std::int64_t k = 0; k < p; ++k) {
        R[count(k * p + k)] = 2;
        for (std::int64_t i = 0; i < n; ++i)
          C[count(k * n + i)] = std::cos(static_cast<double>(k + 2 * i));
      }
      const lds::model system{row_major(A.data(), n, n), row_major(C.data(), p, n),
                              row_major(Q.data(), n, n), row_major(R.data(), p, p)};
      const lds::belief start{std::vector<double>(count(n), 1.0), Q, {}, 0};
      const std::vector<double> y = wave(n_steps * p);
      const lds::observations series{row_major(y.data(), n_steps, p)};
      std::vector<double> terms(count(n_steps));
      lds::filter_outputs out;
      out.log_likelihood_terms = {terms.data(), n_steps, 1};
      lds::filter(system, start, series, out, {});
      double sum = 0;
      for (const double term : terms)
        sum += term;
      CHECK_CLOSE(lds::filter(system, start, series, {}, {}).log_likelihood, sum, 1e-11);
    }
}

TEST(leaving_the_range_of_double_is_refused) {
  local_level level(1, 1);
  level.a = 3;
  const std::vector<double> y(2000, missing);
  const auto all = row_major(y.data(), 2000, 1);
  const lds::belief start{{0.0}, {1.0}, {}, 0};
  CHECK_THROWS(lds::filter(level.view(), start, all, {}, {}), eigenflow::argument_error);
  CHECK_THROWS(lds::smooth(level.view(), start, all, {}, {}), eigenflow::argument_error);
}

TEST(propagate_adds_up_a_random_walk) {
  const local_level level(1, 1);
  const std::vector<double> inputs{0.5, -1, 9}, gain{2};
  lds::model driven = level.view();
  driven.state_input = row_major(gain.data(), 1, 1);
  std::vector<double> x{1, 2, 3};
  lds::propagate(driven, row_major(inputs.data(), 3, 1), row_major(x.data(), 3, 1));
  CHECK(x[1] == 4 && x[2] == 5);
}

TEST(a_batch_is_its_series_and_names_the_one_that_fails) {
  const local_level level(0.3, 1);
  std::vector<double> y = wave(300);
  std::vector<double> totals(3);
  lds::batch batch;
  batch.n_series = 3;
  batch.at = [&](std::int64_t i) -> lds::problem {
    return {level.view(), diffuse_level(), row_major(y.data() + 100 * i, 100, 1)};
  };
  batch.done = [&](std::int64_t i, lds::filter_result &&r) {
    totals[static_cast<std::size_t>(i)] = r.log_likelihood;
  };
  lds::filter(batch, {});
  for (std::int64_t i = 0; i < 3; ++i)
    CHECK(totals[static_cast<std::size_t>(i)] ==
          lds::filter(level.view(), diffuse_level(), row_major(y.data() + 100 * i, 100, 1), {}, {})
              .log_likelihood);
  y[150] = std::numeric_limits<double>::infinity();
  std::int64_t failed = -1;
  try {
    lds::filter(batch, {});
  } catch (const lds::series_error &error) {
    failed = error.series;
  }
  CHECK(failed == 1);
}

TEST(a_system_that_changes_is_read_step_by_step) {
  // The level doubles, then halves.
  const std::vector<double> transition{2, 0.5, 1}, one{1}, zero{0}, y{missing, missing, missing};
  lds::model m{row_major(transition.data(), 1, 1), row_major(one.data(), 1, 1),
               row_major(zero.data(), 1, 1), row_major(one.data(), 1, 1)};
  m.step.transition = 1;
  std::vector<double> means(3);
  lds::filter_outputs out;
  out.filtered_mean = row_major(means.data(), 3, 1);
  const auto result = lds::filter(m, {{3.0}, {1.0}, {}, 0}, row_major(y.data(), 3, 1), out, {});
  CHECK(means[0] == 3 && means[1] == 6 && means[2] == 3);
  CHECK(result.final_state.cov[0] == 1);
}

TEST(gaps_that_come_again_have_the_gains_of_the_first) {
  const local_level level(0.1, 1);
  std::vector<double> y(3000), fast(3000), plain(3000);
  for (std::size_t t = 0; t < y.size(); ++t)
    y[t] = t % 25 == 3 ? missing : std::sin(0.01 * static_cast<double>(t));
  const auto run = [&](std::vector<double> &filtered, bool steady) {
    lds::filter_outputs out;
    out.filtered_mean = row_major(filtered.data(), 3000, 1);
    lds::filter_options options;
    options.switch_to_steady = steady;
    options.store_filtered_cov = true;
    return lds::filter(level.view(), diffuse_level(), row_major(y.data(), 3000, 1), out, options);
  };
  const auto found = run(fast, true), computed = run(plain, false);
  for (std::size_t t = 0; t < y.size(); ++t)
    CHECK_CLOSE(fast[t], plain[t], 1e-12);
  CHECK_CLOSE(found.log_likelihood, computed.log_likelihood, 1e-9);
  CHECK_CLOSE(found.final_state.cov[0], computed.final_state.cov[0], 1e-13);
  CHECK(found.filtered_cov.values.size() < 400);
  CHECK(computed.filtered_cov.values.size() > 2500);
}

TEST(disturbances_are_what_the_smoothed_level_leaves) {
  const local_level level(0.5, 2);
  std::vector<double> y(2000), x(2000), w(2000), v(2000);
  for (std::size_t t = 0; t < y.size(); ++t)
    y[t] = t == 1000 ? missing : std::cos(0.02 * static_cast<double>(t));
  const auto column = [](std::vector<double> &a) { return row_major(a.data(), 2000, 1); };
  lds::smoother_options options;
  options.store_state_disturbance_cov = options.store_obs_disturbance_cov = true;
  const auto found = lds::smooth(level.view(), diffuse_level(), row_major(y.data(), 2000, 1),
                                 {column(x), column(w), column(v)}, options);
  for (std::size_t t = 0; t + 1 < y.size(); ++t) {
    CHECK_CLOSE(w[t], x[t + 1] - x[t], 1e-12);
    CHECK_CLOSE(v[t], t == 1000 ? 0.0 : y[t] - x[t], 1e-12);
  }
  CHECK(w.back() == 0);
  const auto last = static_cast<std::size_t>(found.state_disturbance_cov.index.back());
  CHECK_CLOSE(found.state_disturbance_cov.values[last], 0.5, 1e-14);
}

// May hold what only its own thread may touch, such as an object of an interpreter.
struct homely_hook {
  static inline std::atomic<int> copies_elsewhere{0};
  std::thread::id home = std::this_thread::get_id();

  homely_hook() = default;
  homely_hook(const homely_hook &other) : home(other.home) { look(); }
  homely_hook &operator=(const homely_hook &) = delete;
  ~homely_hook() { look(); }
  void operator()(std::int64_t) const {}
  void look() const { copies_elsewhere += std::this_thread::get_id() != home; }
};

TEST(hooks_are_copied_on_the_calling_thread_only) {
  const local_level level(0.3, 1);
  const std::vector<double> y = wave(100);
  const std::thread::id home = std::this_thread::get_id();
  std::atomic<int> elsewhere{0};
  const auto leave_some_to_others = [&] {
    if (std::this_thread::get_id() != home)
      ++elsewhere;
    else if (elsewhere == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  lds::batch batch;
  lds::smoother_batch smoothed;
  batch.n_series = smoothed.n_series = 400;
  batch.shared_system = smoothed.shared_system = false; // one by one
  batch.at = [&](std::int64_t) -> lds::problem {
    leave_some_to_others();
    return {level.view(), diffuse_level(), row_major(y.data(), 100, 1)};
  };
  smoothed.at = [&](std::int64_t) -> lds::smoother_problem {
    leave_some_to_others();
    return {level.view(), diffuse_level(), {row_major(y.data(), 100, 1)}};
  };
  batch.done = [](std::int64_t, lds::filter_result &&) {};
  smoothed.done = [](std::int64_t, lds::smoother_result &&) {};
  lds::filter_options options;
  lds::smoother_options smoother_options;
  options.workers = smoother_options.workers = 4;
  options.progress = smoother_options.progress = homely_hook();
  lds::filter(batch, options);
  CHECK(elsewhere > 0);
  elsewhere = 0;
  lds::smooth(smoothed, smoother_options);
  CHECK(elsewhere > 0);
  CHECK(homely_hook::copies_elsewhere == 0);
}
