// SPDX-License-Identifier: BSD-3-Clause
#include "rank_layers.hpp"

#include <eigenflow/errors.hpp>

#include <algorithm>

namespace eigenflow::rank {
namespace {

using detail::ladder;

struct entry {
  double score = 0;
  std::size_t layer = 0;
};

// Every score of every layer in descending order; equal ones keep the order of the layers, and
// values of one layer always keep theirs, so each prefix takes the first values of every layer.
std::vector<entry> sorted_scores(const std::vector<ladder> &ladders) {
  std::vector<entry> entries;
  for (std::size_t l = 0; l < ladders.size(); ++l)
    for (const double score : ladders[l].score)
      entries.push_back({score, l});
  std::stable_sort(entries.begin(), entries.end(),
                   [](const entry &a, const entry &b) { return a.score > b.score; });
  return entries;
}

// Ranks and their cost as the prefix grows, after flooring, rounding and capping.
class clipped_ranks {
public:
  explicit clipped_ranks(const std::vector<ladder> &ladders)
      : ladders_(ladders), counts_(ladders.size(), 0) {
    for (const ladder &one : ladders)
      cost_ += price(one, one.floor);
  }

  double cost() const { return cost_; }

  // Takes the next value of a layer unless that would cost more than the budget.
  bool take(std::size_t l, double budget) {
    const double change =
        price(ladders_[l], clip(l, counts_[l] + 1)) - price(ladders_[l], clip(l, counts_[l]));
    if (cost_ + change > budget)
      return false;
    cost_ += change;
    ++counts_[l];
    return true;
  }

  index count(std::size_t l) const { return counts_[l]; }
  index clip(std::size_t l, index count) const {
    return std::max(ladders_[l].floor, ladders_[l].round_up(std::min(count, ladders_[l].cap)));
  }

private:
  static double price(const ladder &one, index k) {
    return std::min(one.cost_of(k), one.dense_cost);
  }

  const std::vector<ladder> &ladders_;
  std::vector<index> counts_;
  double cost_ = 0;
};

} // namespace

allocation allocate_by_share(std::span<const layer> layers, const share_options &options) {
  require(options.share > 0 && options.share <= 1, "share: must lie in (0, 1]");
  const std::vector<ladder> ladders = detail::ladders_of(layers, options.multiple_of);
  double total = 0;
  for (const ladder &one : ladders)
    total += one.total;
  clipped_ranks ranks(ladders);
  const double budget = detail::with_rounding(options.budget, layers.size());
  require(ranks.cost() <= budget, "budget: less than the least ranks cost");

  double sum = 0, cut_off = 0;
  bool passed = options.share == 1 || !(total > 0), spent = false;
  for (const entry &next : sorted_scores(ladders)) {
    if (!(next.score > 0) || !ranks.take(next.layer, budget)) {
      spent = next.score > 0;
      break;
    }
    sum += next.score;
    cut_off = next.score;
    if (options.share < 1 && sum / total > options.share) {
      passed = true;
      break;
    }
  }

  std::vector<index> chosen(ladders.size());
  std::vector<bool> dense(ladders.size());
  for (std::size_t l = 0; l < ladders.size(); ++l) {
    chosen[l] = ranks.clip(l, ranks.count(l));
    dense[l] = ladders[l].dense_at(chosen[l]);
  }
  allocation result = detail::summarise(ladders, std::move(chosen), dense);
  // A value that was not given scores at most as much as the last one given of its layer: the
  // prefix is right if it ends at or above all of those.
  for (std::size_t l = 0; l < ladders.size() && options.share < 1; ++l) {
    const ladder &one = ladders[l];
    const bool unseen_matters =
        !one.complete && one.size() > 0 && one.score.back() > cut_off && one.score.back() > 0;
    const bool exhausted = !passed && !spent && !one.complete;
    if (result.cut_layer < 0 && (unseen_matters || exhausted))
      result.cut_layer = static_cast<index>(l);
  }
  return result;
}

} // namespace eigenflow::rank
