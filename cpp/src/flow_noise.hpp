// SPDX-License-Identifier: BSD-3-Clause
// The mean of (theta - signal)^2 over Gaussian noise in the observation of one coordinate.
#pragma once

#include "flow_tiles.hpp"

#include <eigenflow/parallel.hpp>

namespace eigenflow::flow {

struct noisy_coordinate {
  double signal, variance, lambda, b0;
};

// The trapezoidal rule, which converges geometrically because the integrand is analytic: the step
// is halved until the last two values differ by no more than rtol of the last one, whose own error
// then is about the square of that. The nodes of all times share one march, each time leaves when
// it has settled.
//
// As a function of z, theta / z jumps from about 0 to about 1 where |z| is some multiple of the
// width 1 / (2 t). Where that is narrow against the noise, nodes are even in asinh(z / width)
// instead of z, so that their number grows like ln t and not like t.
class noise_mean {
public:
  noise_mean(const options &opts, const isa::flow_times &times, double rtol);

  // Adds the mean at times.t[i] to sums[times.row[i]]. Null: nobody to poll.
  void add(const noisy_coordinate &at, double *sums, interrupt_poll *poll);

private:
  static constexpr index most_nodes = 64; // evaluated at once
  static constexpr int most_halvings = 18;

  void start(const noisy_coordinate &at);
  void choose_rule();
  double reach();
  double transition_width() const;
  void add_nodes(int halvings, interrupt_poll *poll);
  void put_node(index i, double w);
  void evaluate(index n);
  void flow_at_nodes(index n);
  double error(std::size_t time, index node, index n) const;
  void settle(int halvings, double *sums);

  const options &opts_;
  isa::flow_times all_;
  double rtol_, last_finite_time_ = 0;

  noisy_coordinate at_{};
  double std_ = 0;
  bool symmetric_ = false, with_residual_ = false;
  double width_ = 0; // 0: nodes even in z
  double low_ = 0, high_ = 0, first_step_ = 1;

  // Of the times that have not settled yet.
  std::vector<double> t_, weighted_, before_;
  std::vector<std::int64_t> row_;
  double weight_sum_ = 0;

  std::vector<std::int64_t> packed_row_;
  std::vector<double> theta_, residual_; // [time][node]
  double z_[most_nodes], noise_[most_nodes], weight_[most_nodes];
  double lambda_[most_nodes], b0_[most_nodes];
};

} // namespace eigenflow::flow
