// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/lds.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using eigenflow::row_major;
namespace lds = eigenflow::lds;

std::size_t count(std::int64_t n) { return static_cast<std::size_t>(n); }

// Four states that turn into each other, one observed number.
struct ring {
  static constexpr std::int64_t n = 4;
  std::vector<double> A, C, Q, R{2};
  explicit ring(std::int64_t n_steps) : A(n * n), C(count(n_steps) * n), Q(n * n) {
    for (std::int64_t i = 0; i < n; ++i) {
      A[count(i * n + i)] = 0.8 - 0.2 * static_cast<double>(i);
      A[count(i * n + (i + 1) % n)] = 0.3;
      Q[count(i * n + i)] = 1;
    }
    for (std::size_t i = 0; i < C.size(); ++i)
      C[i] = std::cos(static_cast<double>(i * i % 101));
  }
  lds::model view() const {
    return {row_major(A.data(), n, n), row_major(C.data(), 1, n), row_major(Q.data(), n, n),
            row_major(R.data(), 1, 1)};
  }
  lds::belief start() const { return {std::vector<double>(n, 1.0), Q, {}, 0}; }
};

std::vector<double> wave(std::int64_t size) {
  std::vector<double> y;
  for (std::int64_t t = 0; t < size; ++t)
    y.push_back(std::sin(0.7 * static_cast<double>(t)) + 0.01 * static_cast<double>(t % 17));
  return y;
}

} // namespace

TEST(series_side_by_side_are_each_series) {
  const std::int64_t n_series = 11, n_steps = 150;
  const ring system(1);
  std::vector<double> y = wave(n_series * n_steps);
  y[count(3 * n_steps + 70)] = NAN;
  std::vector<double> means(count(n_series * n_steps * ring::n)), alone(count(n_steps * ring::n));
  std::vector<lds::filter_result> results(count(n_series));
  lds::batch batch;
  batch.n_series = n_series;
  batch.at = [&](std::int64_t i) -> lds::problem {
    lds::filter_outputs out;
    out.filtered_mean = row_major(means.data() + i * n_steps * ring::n, n_steps, ring::n);
    const lds::observations series{row_major(y.data() + i * n_steps, n_steps, 1)};
    return {system.view(), system.start(), series, out};
  };
  batch.done = [&](std::int64_t i, lds::filter_result &&r) { results[count(i)] = std::move(r); };
  lds::filter(batch, {});
  for (std::int64_t i = 0; i < n_series; ++i) {
    lds::problem one = batch.at(i);
    one.out.filtered_mean = row_major(alone.data(), n_steps, ring::n);
    const auto want = lds::filter(one.system, one.start, one.series, one.out, {});
    const auto &got = results[count(i)];
    CHECK_CLOSE(got.log_likelihood, want.log_likelihood, 1e-12);
    CHECK(got.steady_from == want.steady_from);
    double worst = 0;
    for (std::int64_t k = 0; k < n_steps * ring::n; ++k)
      worst = std::max(worst, std::abs(alone[count(k)] - means[count(i * n_steps * ring::n + k)]));
    for (std::int64_t k = 0; k < ring::n; ++k)
      worst = std::max(worst,
                       std::abs(got.final_state.mean[count(k)] - want.final_state.mean[count(k)]));
    CHECK(worst < 1e-12);
  }
}

TEST(runs_of_full_steps_are_the_steps) {
  const std::int64_t n_steps = 200;
  const ring changing(n_steps);
  std::vector<double> y = wave(n_steps);
  y[50] = y[51] = y[199] = NAN;
  lds::model system = changing.view();
  system.step.observation = ring::n;
  std::vector<double> means(count(n_steps * ring::n)), terms(count(n_steps));
  std::vector<double> other_means(means), other_terms(terms);
  const auto run = [&](lds::update_form form, std::vector<double> &x, std::vector<double> &term) {
    lds::filter_outputs out;
    out.filtered_mean = row_major(x.data(), n_steps, ring::n);
    out.log_likelihood_terms = {term.data(), n_steps, 1};
    lds::filter_options options;
    options.form = form;
    const lds::observations series{row_major(y.data(), n_steps, 1)};
    return lds::filter(system, changing.start(), series, out, options);
  };
  const auto got = run(lds::update_form::joseph, means, terms);
  const auto want = run(lds::update_form::standard, other_means, other_terms);
  CHECK_CLOSE(got.log_likelihood, want.log_likelihood, 1e-12);
  for (std::size_t i = 0; i < means.size(); ++i)
    CHECK(std::abs(means[i] - other_means[i]) < 1e-11);
  for (std::size_t i = 0; i < terms.size(); ++i)
    CHECK(std::abs(terms[i] - other_terms[i]) < 1e-11);
}
