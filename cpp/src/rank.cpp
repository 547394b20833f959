// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/errors.hpp>
#include <eigenflow/rank.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace eigenflow::rank {
namespace {

// Squares in units of the largest value's power of two: none overflows, only nothing underflows,
// and the division is exact, so that a tail that equals the limit is seen to.
struct squares {
  double unit = 1;
  std::vector<double> tails; // tails[k]: all squares but those of the first k values
  double total() const { return tails.front(); }
};

squares squares_of(const spectrum &values) {
  const vector_view<const double> &s = values.leading;
  require(s.size <= values.size, "leading: more values than the matrix has");
  squares result;
  result.unit = s.size > 0 && s[0] > 0 ? std::exp2(std::ilogb(s[0])) : 1;
  result.tails.assign(static_cast<std::size_t>(s.size) + 1, 0.0);
  // From the small end: a tail is then as accurate as its values, whatever stands before it.
  for (index k = s.size; k-- > 0;) {
    const double x = s[k] / result.unit;
    result.tails[static_cast<std::size_t>(k)] =
        result.tails[static_cast<std::size_t>(k) + 1] + x * x;
  }
  if (s.size < values.size) {
    require(values.total_squared >= 0, "total_squared: needed when values are missing");
    const double total = values.total_squared / result.unit / result.unit;
    const double missing = std::max(0.0, total - result.total());
    for (double &tail : result.tails)
      tail += missing;
  }
  return result;
}

choice kept(const squares &squared, index rank, bool reached) {
  const double tail = squared.tails[static_cast<std::size_t>(rank)];
  return {rank, reached, tail * squared.unit * squared.unit};
}

// A tail of a partial spectrum is known to within this, relative to the total.
double noise_of(const spectrum &values) {
  return values.leading.size == values.size ? 0.0 : 4 * values.precision;
}

choice first_tail_below(const spectrum &values, const squares &squared, double limit) {
  const auto n = static_cast<index>(squared.tails.size()) - 1;
  if (limit < noise_of(values) * squared.total())
    return kept(squared, n, false);
  index k = 0;
  while (k < n && squared.tails[static_cast<std::size_t>(k)] > limit)
    ++k;
  return kept(squared, k, squared.tails[static_cast<std::size_t>(k)] <= limit);
}

struct gauss_legendre {
  static constexpr std::size_t n = 32;
  std::array<double, n> nodes{}, weights{};

  gauss_legendre() {
    for (std::size_t i = 0; i < n; ++i) {
      const double k = static_cast<double>(i);
      double x = std::cos(std::numbers::pi * (k + 0.75) / (static_cast<double>(n) + 0.5));
      double slope = 1;
      for (int step = 0; step < 8; ++step) { // Newton from a start that is good to 1e-4
        double p = x, before = 1;
        for (std::size_t j = 2; j <= n; ++j) {
          const double d = static_cast<double>(j);
          const double next = ((2 * d - 1) * x * p - (d - 1) * before) / d;
          before = p;
          p = next;
        }
        slope = static_cast<double>(n) * (x * p - before) / (x * x - 1);
        x -= p / slope;
      }
      nodes[i] = x;
      weights[i] = 2 / ((1 - x * x) * slope * slope);
    }
  }
};

// Share of the Marchenko-Pastur law above x = 1 + beta + 2 sqrt(beta) cos(angle). In the angle the
// density is (2 / pi) sin^2 / x: both square-root edges are gone, and up to the median the nearest
// pole stays so far away that 32 nodes give every digit.
double mass_above(double angle, double beta) {
  static const gauss_legendre rule;
  double sum = 0;
  for (std::size_t i = 0; i < rule.n; ++i) {
    const double t = 0.5 * angle * (1 + rule.nodes[i]);
    const double sine = std::sin(t);
    sum += rule.weights[i] * sine * sine / (1 + beta + 2 * std::sqrt(beta) * std::cos(t));
  }
  return sum * angle / std::numbers::pi;
}

} // namespace

choice energy_rank(const spectrum &values, double share) {
  require(share > 0 && share <= 1, "share: must lie in (0, 1]");
  const squares squared = squares_of(values);
  const double total = squared.total();
  const choice by_tail = first_tail_below(values, squared, (1 - share) * total);
  if (share == 1 || (1 - share) < noise_of(values))
    return by_tail;
  // The same condition the other way round: 1 - share is rounded, and a share that the values meet
  // exactly (9 of 9 + 1 at 0.9) must not cost one more.
  const auto holds = [&](index k) {
    return total - squared.tails[static_cast<std::size_t>(k)] >= share * total;
  };
  index k = by_tail.rank;
  while (k > 0 && holds(k - 1))
    --k;
  return kept(squared, k, by_tail.reached || holds(k));
}

double smallest_rtol(const spectrum &values) { return std::sqrt(noise_of(values)); }

choice frobenius_rank(const spectrum &values, double rtol, double atol) {
  require(rtol >= 0 && atol >= 0, "rtol, atol: must not be negative");
  const squares squared = squares_of(values);
  const double absolute = atol / squared.unit;
  return first_tail_below(values, squared,
                          std::max(rtol * rtol * squared.total(), absolute * absolute));
}

double gavish_donoho_lambda(double beta) {
  require(beta >= 0 && beta <= 1, "beta: must lie in [0, 1]");
  const double root = std::sqrt(beta * beta + 14 * beta + 1);
  return std::sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root));
}

double marchenko_pastur_median(double beta) {
  require(beta >= 0 && beta <= 1, "beta: must lie in [0, 1]");
  double low = 0.5, high = 2.5; // angles; the median lies at pi/2 for beta = 0 and at 2.31 for 1
  for (int step = 0; step < 60; ++step) {
    const double middle = 0.5 * (low + high);
    (mass_above(middle, beta) < 0.5 ? low : high) = middle;
  }
  return 1 + beta + 2 * std::sqrt(beta) * std::cos(0.5 * (low + high));
}

double gavish_donoho_omega(double beta) {
  return gavish_donoho_lambda(beta) / std::sqrt(marchenko_pastur_median(beta));
}

choice gavish_donoho_rank(const spectrum &values, index rows, index cols, double noise_std) {
  require(rows >= 0 && cols >= 0, "shape: must not be negative");
  require(values.size == std::min(rows, cols), "size: must be min(rows, cols)");
  const vector_view<const double> &s = values.leading;
  require(s.size <= values.size, "leading: more values than the matrix has");
  if (values.size == 0)
    return {};
  const auto longer = static_cast<double>(std::max(rows, cols));
  const double beta = static_cast<double>(values.size) / longer;
  double threshold = 0;
  if (noise_std >= 0) {
    threshold = gavish_donoho_lambda(beta) * std::sqrt(longer) * noise_std;
  } else {
    const index lower = values.size / 2; // of the two middle values when the count is even
    if (lower >= s.size)
      return {s.size, false, 0};
    const index upper = (values.size - 1) / 2;
    threshold = gavish_donoho_omega(beta) * (0.5 * s[lower] + 0.5 * s[upper]);
  }
  choice result{0, true, 0};
  while (result.rank < s.size && s[result.rank] > threshold)
    ++result.rank;
  result.reached = result.rank < s.size || s.size == values.size;
  for (index k = s.size; k-- > result.rank;)
    result.tail_squared += s[k] * s[k];
  return result;
}

} // namespace eigenflow::rank
