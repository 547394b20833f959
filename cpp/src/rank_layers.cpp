// SPDX-License-Identifier: BSD-3-Clause
#include "rank_layers.hpp"

#include <eigenflow/errors.hpp>

#include <algorithm>
#include <cmath>

namespace eigenflow::rank::detail {
namespace {

// Sums of squares of values that were computed in float agree with their total to about this.
constexpr double total_tolerance = 1e-6;

int exponent_of(double x) { return x > 0 ? std::ilogb(x) : 0; }

ladder ladder_of(const layer &given, int value_exponent, int importance_exponent,
                 index multiple_of) {
  const auto n = given.s.size;
  const double importance = std::ldexp(given.importance, -importance_exponent);
  ladder result;
  result.kept.assign(static_cast<std::size_t>(n) + 1, 0.0);
  for (index k = 0; k < n; ++k) {
    const double x = std::ldexp(given.s[k], -value_exponent);
    result.score.push_back(importance * x * x);
    result.kept[static_cast<std::size_t>(k) + 1] = result.kept_at(k) + result.score.back();
  }
  const double seen = result.kept.back();
  result.total = seen;
  if (given.total_squared >= 0) {
    const double total = importance * std::ldexp(given.total_squared, -2 * value_exponent);
    result.complete = total <= seen * (1 + total_tolerance);
    result.total = std::max(seen, total);
  }
  result.cost = given.cost;
  result.dense_cost = given.dense_cost;
  result.multiple = multiple_of;
  result.cap = std::min(n, given.max_rank);
  result.floor = result.round_up(std::min(given.min_rank, result.cap));
  return result;
}

} // namespace

index ladder::round_up(index k) const {
  return std::min(cap, (k + multiple - 1) / multiple * multiple);
}

std::vector<ladder> ladders_of(std::span<const layer> layers, index multiple_of) {
  require(multiple_of >= 1, "multiple_of: must be positive");
  double largest = 0, most_important = 0;
  for (const layer &one : layers) {
    require(one.cost >= 0 && one.dense_cost >= 0, "cost, dense_cost: must not be negative");
    require(one.importance >= 0, "importance: must not be negative");
    require(one.min_rank >= 0 && one.min_rank <= one.max_rank,
            "min_rank: must lie in [0, max_rank]");
    require(std::isfinite(one.importance), "importance: must be finite");
    require(one.s.size == 0 || std::isfinite(one.s[0]), "s: must be finite");
    if (one.s.size > 0)
      largest = std::max(largest, one.s[0]);
    most_important = std::max(most_important, one.importance);
  }
  std::vector<ladder> result;
  for (const layer &one : layers)
    result.push_back(
        ladder_of(one, exponent_of(largest), exponent_of(most_important), multiple_of));
  return result;
}

double with_rounding(double budget, std::size_t layers) {
  constexpr double unit = std::numeric_limits<double>::epsilon();
  return budget * (1 + 4 * unit * static_cast<double>(layers));
}

allocation summarise(const std::vector<ladder> &ladders, std::vector<index> ranks,
                     const std::vector<bool> &dense) {
  allocation result;
  double kept = 0, total = 0;
  for (std::size_t l = 0; l < ladders.size(); ++l) {
    const ladder &one = ladders[l];
    if (dense[l])
      ranks[l] = one.size();
    kept += dense[l] ? one.total : one.kept_at(ranks[l]);
    total += one.total;
    result.cost += dense[l] ? one.dense_cost : one.cost_of(ranks[l]);
  }
  result.kept_share = total > 0 ? std::min(1.0, kept / total) : 1.0;
  result.ranks = std::move(ranks);
  result.dense = dense;
  return result;
}

} // namespace eigenflow::rank::detail
