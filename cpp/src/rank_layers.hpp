// SPDX-License-Identifier: BSD-3-Clause
// What both allocation rules need: which ranks a layer may have, and what they keep and cost.
#pragma once

#include <eigenflow/rank.hpp>

namespace eigenflow::rank::detail {

// A layer in common units: scores are scaled by powers of two, so they neither overflow nor round.
struct ladder {
  std::vector<double> score; // importance times the square, of each value
  std::vector<double> kept;  // kept[k]: importance times the squares of the first k values
  double total = 0;          // importance times all squares, the unseen ones included
  double cost = 1;
  double dense_cost = infinity;
  index floor = 0, cap = 0; // the least and the largest rank that may be chosen
  index multiple = 1;
  bool complete = true; // no value is missing

  index size() const { return static_cast<index>(kept.size()) - 1; }
  double kept_at(index k) const { return kept[static_cast<std::size_t>(k)]; }
  // The least rank >= k that is allowed: a multiple, or the cap.
  index round_up(index k) const;
  double cost_of(index k) const { return static_cast<double>(k) * cost; }
  // Dense keeps everything, so ranks that cost as much are never worth it.
  bool dense_at(index k) const { return cost_of(k) >= dense_cost; }
};

// Checks the layers and brings them to common units.
std::vector<ladder> ladders_of(std::span<const layer> layers, index multiple_of);

// The budget and the rounding of a sum of that many costs: in another order of summation a cost
// that equals the budget may come out above it. Changes nothing for whole numbers below 1e15 /
// layers.
double with_rounding(double budget, std::size_t layers);

// Sums what the ranks keep and cost; ranks of dense layers become all their values.
allocation summarise(const std::vector<ladder> &ladders, std::vector<index> ranks,
                     const std::vector<bool> &dense);

} // namespace eigenflow::rank::detail
