// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/rank.hpp>

#include <array>
#include <cmath>
#include <cstdint>

namespace rank = eigenflow::rank;

namespace {

eigenflow::vector_view<const double> view(const std::vector<double> &s) {
  return {s.data(), static_cast<std::int64_t>(s.size())};
}

} // namespace

TEST(energy_and_frobenius_count_values) {
  const std::vector<double> s{3, 2, 1};
  const rank::spectrum whole{view(s), 3};
  CHECK(rank::energy_rank(whole, 9.0 / 14).rank == 1);
  CHECK(rank::energy_rank(whole, 0.9).rank == 2);
  CHECK(rank::energy_rank(whole, 1).rank == 3);
  CHECK(rank::frobenius_rank(whole, 0, 1).rank == 2);
  CHECK(rank::frobenius_rank(whole, 0.7, 0).rank == 1);
  CHECK_CLOSE(rank::energy_rank(whole, 0.5).tail_squared, 5.0, 1e-15);
}

TEST(values_may_be_strided) {
  const std::vector<double> s{3, -1, 2, -1, 1, -1};
  CHECK(rank::energy_rank({{s.data(), 3, 2}, 3}, 0.9).rank == 2);
  CHECK(rank::energy_rank({{s.data() + 4, 3, -2}, 3}, 1).rank == 3);
}

TEST(leading_values_say_when_they_do_not_suffice) {
  const std::vector<double> s{3, 2};
  CHECK(rank::energy_rank({view(s), 5, 14}, 0.9).reached);
  CHECK(!rank::energy_rank({view(s), 5, 14}, 0.95).reached);
  CHECK(!rank::frobenius_rank({view(s), 5, 13}, 1e-9, 0).reached);
  CHECK_CLOSE(rank::smallest_rtol({view(s), 5, 14}), std::sqrt(4 * 2.220446049250313e-16), 1e-12);
  CHECK(rank::smallest_rtol({view(s), 2}) == 0);
  CHECK_THROWS(rank::energy_rank({view(s), 5}, 0.9), eigenflow::argument_error);
}

TEST(the_optimal_threshold_of_a_square_is_four_over_root_three) {
  CHECK_CLOSE(rank::gavish_donoho_lambda(1), 4 / std::sqrt(3.0), 1e-15);
  CHECK_CLOSE(rank::gavish_donoho_omega(1), 2.8584, 2e-5);
  CHECK_CLOSE(rank::gavish_donoho_omega(0.5), 2.1712, 2e-5);
  CHECK_CLOSE(rank::marchenko_pastur_median(0), 1.0, 1e-14);
  CHECK_THROWS(rank::marchenko_pastur_median(1.5), eigenflow::argument_error);
}

TEST(gavish_donoho_keeps_what_stands_above_the_noise) {
  const std::vector<double> s{50, 40, 1.5, 1, 0.5};
  CHECK(rank::gavish_donoho_rank({view(s), 5}, 5, 5).rank == 2);
  CHECK_THROWS(rank::gavish_donoho_rank({view(s), -8}, -8, -8), eigenflow::argument_error);
  CHECK_THROWS(rank::gavish_donoho_rank({view(s), 4}, 4, 9), eigenflow::argument_error);
  CHECK(rank::gavish_donoho_rank({view(s), 5}, 5, 5, 0.1).rank == 4);
  CHECK(!rank::gavish_donoho_rank({view(s), 20}, 20, 20).reached);
}

TEST(the_share_rule_sorts_all_layers_together) {
  const std::vector<double> s{3, 2, 1};
  std::array<rank::layer, 2> layers{};
  layers[0] = {.s = view(s), .importance = 100, .cost = 5, .min_rank = 1};
  layers[1] = {.s = view(s), .importance = 1, .cost = 7, .min_rank = 1};
  const rank::allocation found = rank::allocate_by_share(layers, {.share = 0.9});
  CHECK(found.ranks[0] == 2);
  CHECK(found.ranks[1] == 1);
  CHECK_CLOSE(found.cost, 17.0, 0);
  CHECK_CLOSE(found.kept_share, 1309.0 / 1414, 1e-15);
  const rank::allocation all = rank::allocate_by_share(layers, {});
  CHECK(all.ranks[0] == 3 && all.ranks[1] == 3);
  layers[0].total_squared = 40;
  CHECK(rank::allocate_by_share(layers, {.share = 0.9}).cut_layer == 0);
}

TEST(the_knapsack_weighs_kept_values_against_cost) {
  const std::vector<double> s{3, 2, 1};
  std::array<rank::layer, 2> layers{};
  layers[0] = {.s = view(s), .importance = 2, .cost = 150};
  layers[1] = {.s = view(s), .importance = 1, .cost = 10};
  const rank::allocation found = rank::allocate_by_budget(layers, 180);
  CHECK(found.ranks[0] == 1);
  CHECK(found.ranks[1] == 3);
  CHECK_CLOSE(found.kept_share, 32.0 / 42, 1e-15);
  CHECK_CLOSE(found.kept_share_bound, found.kept_share, 0);
  layers[0].dense_cost = 160;
  CHECK(rank::allocate_by_budget(layers, 180).dense[0]);
  layers[0].min_rank = 3;
  layers[0].dense_cost = rank::infinity;
  CHECK_THROWS(rank::allocate_by_budget(layers, 180), eigenflow::argument_error);
}

TEST(no_layers_keep_everything_for_nothing) {
  const rank::allocation found = rank::allocate_by_budget({}, 0);
  CHECK(found.ranks.empty());
  CHECK(found.cost == 0 && found.kept_share == 1);
}
