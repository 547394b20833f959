// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/lds_score.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace {

using eigenflow::row_major;
namespace lds = eigenflow::lds;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

struct local_level {
  double a = 1, c = 1, q, r;
  local_level(double state_noise, double obs_noise) : q(state_noise), r(obs_noise) {}
  lds::model view() const {
    return {.transition = row_major(&a, 1, 1),
            .observation = row_major(&c, 1, 1),
            .state_noise = row_major(&q, 1, 1),
            .obs_noise = row_major(&r, 1, 1)};
  }
};

lds::belief diffuse_level() { return {{0.0}, {0.0}, {1.0}, 1}; }

} // namespace

TEST(a_random_walk_without_noise_in_closed_form) {
  // The steps are independent N(0, q): sum of (step^2 / q^2 - 1 / q) / 2.
  const local_level walk(2, 0);
  const std::vector<double> y{1, 2, 4, 3};
  const auto found = lds::score(walk.view(), diffuse_level(), row_major(y.data(), 4, 1));
  CHECK_CLOSE(found.state_noise[0], 6.0 / 8 - 0.75, 1e-13);
  CHECK_CLOSE(found.log_likelihood,
              -2 * std::log(2 * 3.14159265358979323846) - 1.5 * std::log(2.0) - 1.5, 1e-13);
}

TEST(differences_of_the_likelihood_are_the_derivatives) {
  const std::vector<double> y{5, 8, missing, 6, 7};
  const auto at = [&](double q, double r) {
    const local_level level(q, r);
    return lds::score(level.view(), diffuse_level(), row_major(y.data(), 5, 1));
  };
  const double h = 1e-5;
  const auto found = at(3, 2);
  CHECK(found.n_observed == 4);
  CHECK_CLOSE(found.state_noise[0],
              (at(3 + h, 2).log_likelihood - at(3 - h, 2).log_likelihood) / (2 * h), 1e-8);
  CHECK_CLOSE(found.obs_noise[0],
              (at(3, 2 + h).log_likelihood - at(3, 2 - h).log_likelihood) / (2 * h), 1e-8);
}

TEST(what_has_no_likelihood_is_refused) {
  const std::vector<double> y{missing, missing}, flat{1, 1};
  const local_level level(1, 1), nothing(0, 0);
  CHECK_THROWS(lds::score(level.view(), diffuse_level(), row_major(y.data(), 2, 1)),
               eigenflow::argument_error);
  CHECK_THROWS(lds::score(nothing.view(), {{0.0}, {0.0}, {}, 0}, row_major(flat.data(), 2, 1)),
               eigenflow::argument_error);
}

TEST(series_of_a_batch_have_the_scores_of_each) {
  const local_level level(3, 2);
  const std::vector<double> y{5, 8, missing, 6, 7, 1, 0, 2, 4, missing};
  std::vector<lds::score_result> found(2);
  lds::score_batch batch;
  batch.n_series = 2;
  batch.at = [&](std::int64_t i) -> lds::problem {
    return {level.view(), diffuse_level(), row_major(y.data() + 5 * i, 5, 1), {}};
  };
  batch.done = [&](std::int64_t i, lds::score_result &&r) {
    found[static_cast<std::size_t>(i)] = std::move(r);
  };
  lds::score(batch, 2);
  for (std::int64_t i = 0; i < 2; ++i) {
    const auto one = lds::score(level.view(), diffuse_level(), row_major(y.data() + 5 * i, 5, 1));
    CHECK(found[static_cast<std::size_t>(i)].log_likelihood == one.log_likelihood);
    CHECK(found[static_cast<std::size_t>(i)].transition[0] == one.transition[0]);
  }
}
