// SPDX-License-Identifier: BSD-3-Clause
// The mean of (theta - signal)^2 over Gaussian noise in the observation of one coordinate.
#pragma once

#include "flow_tiles.hpp"

#include <eigenflow/parallel.hpp>

namespace eigenflow::flow {

struct noisy_coordinate {
  double signal, variance, lambda, b0;
};

// The trapezoidal rule first: it converges geometrically because the integrand is analytic, and its
// step is halved until two values agree. But theta / z, as a function of z, jumps from about 0 to
// about 1 within a small part of the z at which it does; where that is narrow against the noise,
// Gauss-Kronrod panels are bisected towards the jump instead. All times that are not settled yet
// share the march from a node, in both rules.
class noise_mean {
public:
  noise_mean(const options &opts, const isa::flow_times &times, double rtol);

  // Adds lower bounds of the means at times.t[i] to sums[times.row[i]].
  void add_bounds(const noisy_coordinate &at, double *sums);

  // Adds the means, with errors of about rtol max(mean, floors[times.row[i]]). Null: do not poll.
  void add(const noisy_coordinate &at, const double *floors, double *sums, interrupt_poll *poll);

private:
  static constexpr index most_nodes = 64; // evaluated at once

  // A time that is not settled yet.
  struct pending {
    double t;
    std::int64_t row;
    double floor;
    double sum, before; // of the trapezoidal rule: weighted, and the mean one step ago
    double seen_at;     // the least |z| of a node, not 0, at which theta is above z / 2
    bool jump_seen;     // theta is below z / 2 at some node
  };
  struct panel {
    double from, to;
    std::vector<pending> times;
  };

  void start(const noisy_coordinate &at, const double *floors);
  std::vector<double> bounds();
  double reach(const std::vector<double> &least);
  void trapezoid(int halvings, double limit, interrupt_poll *poll);
  bool hides_a_jump(const pending &time) const;
  void settle(int halvings, double *sums);
  void bisect(double limit, double *sums, interrupt_poll *poll);
  void split(const panel &at, double *sums, std::vector<panel> &rest);

  void put_node(index i, double xi, double weight);
  void flow_at_nodes(const std::vector<pending> &times, index n);
  double error(std::size_t time, index node, index n) const;

  const options &opts_;
  isa::flow_times all_;
  double rtol_;

  noisy_coordinate at_{};
  double std_ = 0;
  bool symmetric_ = false, with_residual_ = false;
  std::vector<pending> pending_;
  double weight_sum_ = 0;

  std::vector<double> t_;
  std::vector<std::int64_t> packed_row_;
  std::vector<double> theta_, residual_; // [time][node]
  double z_[most_nodes], noise_[most_nodes], weight_[most_nodes];
  double lambda_[most_nodes], b0_[most_nodes];
};

} // namespace eigenflow::flow
