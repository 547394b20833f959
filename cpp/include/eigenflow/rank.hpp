// SPDX-License-Identifier: BSD-3-Clause
// How many singular values to keep: rules for one matrix, and shares and budgets over many.
// Singular values are double here: they are few, and sums of their squares need the digits.
#pragma once

#include <eigenflow/views.hpp>

#include <limits>
#include <span>
#include <vector>

namespace eigenflow::rank {

constexpr double infinity = std::numeric_limits<double>::infinity();

// The leading singular values of a matrix, in descending order.
struct spectrum {
  vector_view<const double> leading;
  index size = 0;            // how many the matrix has: min(rows, cols)
  double total_squared = -1; // ||A||_F^2; needed, and read, only when some values are missing
  // Relative rounding error of the values. What is missing is total_squared minus the squares of
  // the rest, so without the full spectrum a tail below 4 precision total_squared is noise.
  double precision = std::numeric_limits<double>::epsilon();
};

struct choice {
  index rank = 0;
  bool reached = true;     // false: the leading values given do not suffice; `rank` counts them all
  double tail_squared = 0; // what the rank leaves out, sum of s_i^2 for i > rank
};

// The least k whose values hold the share of ||A||_F^2. Share 1 keeps every positive value.
choice energy_rank(const spectrum &values, double share);

// The least k that leaves at most max(rtol ||A||_F, atol) out, in the Frobenius norm.
choice frobenius_rank(const spectrum &values, double rtol, double atol);

// The smallest rtol that frobenius_rank can answer for these values; 0 for a full spectrum.
double smallest_rtol(const spectrum &values);

// Gavish and Donoho (2014): keep the values above lambda(beta) sqrt(n) noise_std or, with
// noise_std < 0 (unknown), above omega(beta) median(s). n is the longer side, beta = shorter /
// longer. Not `reached` when the median or the threshold lies beyond the values given.
choice gavish_donoho_rank(const spectrum &values, index rows, index cols, double noise_std = -1);

// The optimal hard threshold in units of sqrt(n) noise_std; beta in [0, 1].
double gavish_donoho_lambda(double beta);
// The same in units of the median singular value: lambda / sqrt(Marchenko-Pastur median).
double gavish_donoho_omega(double beta);
// Median of the eigenvalues of X X^T / n, X of beta n x n independent entries of variance 1, n
// large. To 1e-15 by Gauss-Legendre quadrature and bisection; about 20 us.
double marchenko_pastur_median(double beta);

// One layer of a network, or one matrix of many, in the questions below.
struct layer {
  vector_view<const double> s; // leading singular values, in descending order
  double importance = 1;       // loss per squared unit: curvature times the layer's constant factor
  double total_squared = -1;   // sum of all squared values; negative: s holds them all
  double cost = 1;             // of one rank, for example rows + cols
  index min_rank = 0;
  index max_rank = std::numeric_limits<index>::max();
  double dense_cost = infinity; // of keeping the layer dense, which keeps everything
};

struct allocation {
  std::vector<index> ranks;
  std::vector<bool> dense; // such a layer is not cut; its rank counts all its values
  double cost = 0;
  double kept_share = 1;       // importance-weighted share of the squared values that is kept
  double kept_share_bound = 1; // no allocation of at most this cost keeps more (budgets only)
  index cut_layer = -1;        // >= 0: this layer has too few leading values for an answer
};

struct share_options {
  double share = 1; // of sum importance s^2; passed strictly, 1 keeps every positive score
  double budget = infinity;
  index multiple_of = 1; // ranks are multiples of it, or the layer's cap
};

// The rule of Li et al. (2023): sort importance s^2 of all layers in descending order, keep the
// shortest prefix whose share exceeds `share`, then clip each layer's count to [min, max]. Equal
// scores go to the earlier layer. With a budget the prefix stops before it costs too much.
// O(n log n) for n values.
allocation allocate_by_share(std::span<const layer> layers, const share_options &options);

// Keeps the most importance-weighted squared values whose cost is within the budget. Greedy along
// the concave hull of each layer, then a search over whole allocations near it that drops what
// cannot beat the best one: the best allocation there is with few layers. `kept_share_bound` tells
// how much is left to gain, at most. A cost that is above the budget by the rounding of its sum
// alone is within it. Throws argument_error when the least ranks alone cost more than the budget.
allocation allocate_by_budget(std::span<const layer> layers, double budget, index multiple_of = 1);

} // namespace eigenflow::rank
