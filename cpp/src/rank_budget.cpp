// SPDX-License-Identifier: BSD-3-Clause
// A knapsack with one choice a layer (multiple-choice knapsack). Values of a layer are decreasing,
// so its ranks lie on a concave curve; only "stay dense" and a last short step can leave it.
#include "rank_layers.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <algorithm>

namespace eigenflow::rank {
namespace {

using detail::ladder;

struct option {
  double cost = 0, value = 0;
  index rank = 0;
  bool dense = false;
};
using menu = std::vector<option>; // of one layer: cost and value both ascend strictly

void add(menu &options, const option &next) {
  while (!options.empty() && options.back().cost >= next.cost && options.back().value <= next.value)
    options.pop_back();
  if (options.empty() || options.back().value < next.value)
    options.push_back(next);
}

menu menu_of(const ladder &one) {
  menu options;
  for (index k = one.floor;; k = one.round_up(k + 1)) {
    if (one.dense_at(k))
      break;
    add(options, {one.cost_of(k), one.kept_at(k), k, false});
    if (k == one.cap)
      break;
  }
  if (one.dense_cost < infinity)
    add(options, {one.dense_cost, one.total, one.size(), true});
  return options;
}

// A step along the concave hull of a menu, from one option to a better one.
struct step {
  double cost = 0, value = 0, density = 0;
  std::size_t layer = 0, to = 0; // `to` is the option it ends at
};

step join(const option &from, const option &to, std::size_t layer, std::size_t number) {
  const double cost = to.cost - from.cost, value = to.value - from.value;
  return {cost, value, value / cost, layer, number};
}

void add_hull_steps(const menu &options, std::size_t layer, std::vector<step> &steps) {
  std::vector<std::size_t> hull{0};
  std::vector<step> own;
  for (std::size_t to = 1; to < options.size(); ++to) {
    step next = join(options[hull.back()], options[to], layer, to);
    while (!own.empty() && own.back().density <= next.density) {
      own.pop_back();
      hull.pop_back();
      next = join(options[hull.back()], options[to], layer, to);
    }
    own.push_back(next);
    hull.push_back(to);
  }
  steps.insert(steps.end(), own.begin(), own.end());
}

// The most that steps can add with fractions allowed: an upper bound for whole ranks.
class relaxation {
public:
  explicit relaxation(std::vector<step> steps) : steps_(std::move(steps)) { sum(); }

  // Forgets the steps of a layer, in one pass.
  void drop(std::size_t layer) {
    std::erase_if(steps_, [layer](const step &one) { return one.layer == layer; });
    sum();
  }

  double operator()(double budget) const {
    const auto past = std::upper_bound(costs_.begin(), costs_.end(), budget);
    const auto n = static_cast<std::size_t>(past - costs_.begin()) - 1;
    const double part = n < steps_.size() ? (budget - costs_[n]) / steps_[n].cost : 0.0;
    return values_[n] + (n < steps_.size() ? part * steps_[n].value : 0.0);
  }

private:
  void sum() {
    costs_.assign(1, 0.0);
    values_.assign(1, 0.0);
    for (const step &one : steps_) {
      costs_.push_back(costs_.back() + one.cost);
      values_.push_back(values_.back() + one.value);
    }
  }

  std::vector<step> steps_;
  std::vector<double> costs_, values_; // running sums
};

struct solution {
  std::vector<std::size_t> chosen; // option of each layer
  double value = 0;
  bool exact = false;
};

// Takes the steps by value per cost. One that does not fit ends its layer, and the rest go on: the
// remainder is filled by what is small enough.
solution greedy(const std::vector<menu> &menus, const std::vector<step> &steps, double budget) {
  solution result;
  result.chosen.assign(menus.size(), 0);
  std::vector<bool> stopped(menus.size(), false);
  for (const menu &options : menus) {
    budget -= options.front().cost;
    result.value += options.front().value;
  }
  for (const step &next : steps) {
    if (stopped[next.layer] || next.cost > budget) {
      stopped[next.layer] = true;
      continue;
    }
    budget -= next.cost;
    result.value += next.value;
    result.chosen[next.layer] = next.to;
  }
  return result;
}

// One partial allocation: the options of the first layers.
struct partial {
  double cost = 0, value = 0, bound = 0;
  std::size_t parent = 0, option = 0;
};

// Drops what another one beats in cost and value, then all but the most promising.
void thin(std::vector<partial> &states, std::size_t width, bool &exact) {
  std::sort(states.begin(), states.end(), [](const partial &a, const partial &b) {
    return a.cost != b.cost ? a.cost < b.cost : a.value > b.value;
  });
  std::size_t kept = 0;
  for (const partial &one : states)
    if (kept == 0 || one.value > states[kept - 1].value)
      states[kept++] = one;
  states.resize(kept);
  if (kept <= width)
    return;
  exact = false;
  std::stable_sort(states.begin(), states.end(),
                   [](const partial &a, const partial &b) { return a.bound > b.bound; });
  states.resize(width);
}

// What every layer costs and keeps at least.
struct floor_sums {
  double cost = 0, value = 0;
  explicit floor_sums(const std::vector<menu> &menus) {
    for (const menu &options : menus)
      add(options.front(), 1);
  }
  void add(const option &least, int sign) {
    cost += sign * least.cost;
    value += sign * least.value;
  }
};

struct problem {
  const std::vector<menu> &menus;
  const std::vector<step> &steps; // of all hulls, by density
  double budget;
  double beat; // the value to beat
};

// The options of each layer that an allocation above `beat` may have: with one of the others the
// bound on the rest does not reach it (Dyer, Riha and Walker 1995). Costs one pass over the steps a
// layer.
std::vector<std::vector<std::size_t>> promising_options(const problem &given) {
  interrupt_poll poll;
  std::vector<std::vector<std::size_t>> result;
  for (std::size_t l = 0; l < given.menus.size(); ++l, poll()) {
    const menu &options = given.menus[l];
    floor_sums others(given.menus);
    others.add(options.front(), -1);
    relaxation rest(given.steps);
    rest.drop(l);
    result.emplace_back();
    for (std::size_t o = 0; o < options.size(); ++o) {
      const double left = given.budget - options[o].cost - others.cost;
      if (left < 0)
        break;
      if (options[o].value + others.value + rest(left) > given.beat)
        result.back().push_back(o);
    }
  }
  return result;
}

// How many partial allocations the search holds: all there are with few layers, about a
// millisecond's work a layer with many.
std::size_t beam_width(std::size_t layers) {
  return std::clamp<std::size_t>(16384 / std::max<std::size_t>(1, layers), 256, 4096);
}

// Goes through the layers with a list of partial allocations, and drops those whose upper bound
// does not beat the best allocation known. Exact while the list is not cut.
solution search(const problem &given, const solution &start) {
  const std::vector<menu> &menus = given.menus;
  const auto candidates = promising_options(given);
  floor_sums least(menus);
  bool exact = true;
  const std::size_t width = beam_width(menus.size());
  relaxation rest(given.steps);
  interrupt_poll poll;
  std::vector<std::vector<partial>> levels{{partial{}}};
  for (std::size_t l = 0; l < menus.size(); ++l) {
    const menu &options = menus[l];
    least.add(options.front(), -1);
    rest.drop(l);
    std::vector<partial> next;
    for (std::size_t parent = 0; parent < levels.back().size(); ++parent) {
      poll();
      for (const std::size_t o : candidates[l]) {
        partial one = levels.back()[parent];
        one.cost += options[o].cost;
        one.value += options[o].value;
        const double left = given.budget - one.cost - least.cost;
        if (left < 0)
          break;
        one.bound = one.value + least.value + rest(left);
        if (one.bound > given.beat)
          next.push_back({one.cost, one.value, one.bound, parent, o});
      }
    }
    thin(next, width, exact);
    levels.push_back(std::move(next));
  }

  solution result = start;
  result.exact = exact;
  const std::vector<partial> &last = levels.back();
  if (last.empty())
    return result;
  const auto best = std::max_element(
      last.begin(), last.end(), [](const auto &a, const auto &b) { return a.value < b.value; });
  result.value = best->value;
  auto at = static_cast<std::size_t>(best - last.begin());
  for (std::size_t l = menus.size(); l-- > 0;) {
    result.chosen[l] = levels[l + 1][at].option;
    at = levels[l + 1][at].parent;
  }
  return result;
}

} // namespace

allocation allocate_by_budget(std::span<const layer> layers, double budget, index multiple_of) {
  const std::vector<ladder> ladders = detail::ladders_of(layers, multiple_of);
  std::vector<menu> menus;
  std::vector<step> steps;
  double least = 0, least_value = 0, total = 0;
  for (const ladder &one : ladders) {
    menus.push_back(menu_of(one));
    add_hull_steps(menus.back(), menus.size() - 1, steps);
    least += menus.back().front().cost;
    least_value += menus.back().front().value;
    total += one.total;
  }
  budget = detail::with_rounding(budget, layers.size());
  require(least <= budget, "budget: less than the least ranks cost");
  std::stable_sort(steps.begin(), steps.end(), [](const step &a, const step &b) {
    return a.density != b.density ? a.density > b.density : a.layer < b.layer;
  });

  const double bound = least_value + relaxation(steps)(budget - least);
  const double negligible = 1e-12 * total; // less than the sums are rounded by
  solution best = greedy(menus, steps, budget);
  best.exact = bound <= best.value + negligible;
  if (!best.exact)
    best = search({menus, steps, budget, best.value + negligible}, best);

  std::vector<index> ranks(menus.size());
  std::vector<bool> dense(menus.size());
  for (std::size_t l = 0; l < menus.size(); ++l) {
    ranks[l] = menus[l][best.chosen[l]].rank;
    dense[l] = menus[l][best.chosen[l]].dense;
  }
  allocation result = detail::summarise(ladders, std::move(ranks), dense);
  const double most = total > 0 ? std::min(1.0, bound / total) : 1.0;
  result.kept_share_bound = best.exact ? result.kept_share : std::max(most, result.kept_share);
  return result;
}

} // namespace eigenflow::rank
