// SPDX-License-Identifier: BSD-3-Clause
#include "flow_noise.hpp"

#include <cmath>

namespace eigenflow::flow {
namespace {

constexpr double largest_reach = 38;       // exp(-reach^2 / 2) is just above the smallest double
constexpr double sharp = 12;               // standard deviations of noise in widths of a transition
constexpr double half_normal_tail = 0.158; // the probability of noise above one deviation

} // namespace

noise_mean::noise_mean(const options &opts, const isa::flow_times &times, double rtol)
    : opts_(opts), all_(times), rtol_(rtol) {
  const auto n = static_cast<std::size_t>(times.n);
  for (std::size_t i = 0; i < n; ++i)
    if (std::isfinite(times.t[i]))
      last_finite_time_ = times.t[i];
  theta_.resize(n * most_nodes);
  residual_.resize(n * most_nodes);
  packed_row_.resize(n);
  std::iota(packed_row_.begin(), packed_row_.end(), std::int64_t{0});
}

void noise_mean::add(const noisy_coordinate &at, double *sums, interrupt_poll *poll) {
  start(at);
  if (at.variance > 0 && std::isfinite(at.variance))
    choose_rule();
  for (int halvings = 0; !t_.empty(); ++halvings) {
    if (halvings > most_halvings)
      throw convergence_error("rtol: got " + std::to_string(rtol_) +
                              ", which the mean over the noise did not reach at time " +
                              std::to_string(t_[0]));
    add_nodes(halvings, poll);
    settle(halvings, sums);
  }
}

void noise_mean::start(const noisy_coordinate &at) {
  at_ = at;
  std_ = std::sqrt(at.variance);
  symmetric_ = at.signal == 0;
  // Where both share many digits theta - signal has few left; the noise less z - theta has all.
  with_residual_ = std::abs(at.signal) > 1024 * std_;
  low_ = high_ = width_ = 0;
  std::fill_n(lambda_, most_nodes, at.lambda);
  std::fill_n(b0_, most_nodes, at.b0);
  t_.assign(all_.t, all_.t + all_.n);
  row_.assign(all_.row, all_.row + all_.n);
  before_.assign(t_.size(), 0);
  weighted_.assign(t_.size(), 0);
  weight_sum_ = 0;
}

void noise_mean::choose_rule() {
  const double noise = reach(), width = transition_width();
  width_ = std::abs(at_.signal) < noise * std_ && width * sharp < std_ ? width : 0;
  first_step_ = width_ > 0 ? 0.25 : 1;
  const auto w_of = [&](double xi) {
    return width_ > 0 ? std::asinh((at_.signal + std_ * xi) / width_) : xi;
  };
  low_ = symmetric_ ? 0 : w_of(-noise);
  high_ = w_of(noise);
}

// How many standard deviations of noise matter. theta lies between 0 and z and grows with z, so
// that (theta - signal)^2 is at most max(signal, noise)^2, and its mean is at least its larger
// value at one deviation times the probability of the noise beyond.
double noise_mean::reach() {
  z_[0] = at_.signal + std_, noise_[0] = std_;
  z_[1] = at_.signal - std_, noise_[1] = -std_;
  flow_at_nodes(2);
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < t_.size(); ++i) {
    const double most = std::max(std::abs(error(i, 0, 2)), std::abs(error(i, 1, 2))) / std_;
    if (most > 0)
      least = std::min(least, half_normal_tail * most * most);
  }
  const double ratio = at_.signal / std_;
  double noise = 6;
  for (int i = 0; i < 6; ++i) {
    const double excess = std::max(1.0, (ratio / noise) * (ratio / noise));
    const double tail = 1.6 * excess * (noise + 1 / noise); // exp(noise^2 / 2) times the bound
    noise = std::sqrt(2 * std::log(std::max(1e4, 4 * tail / (rtol_ * least))));
    noise = std::min(noise, largest_reach);
  }
  return noise;
}

// A scale below the observations at which the last time is when theta takes off, by the slowest of
// what drives it: the initial factors, or the signal alone (the flow's scaling symmetry).
double noise_mean::transition_width() const {
  const double t = last_finite_time_, depth = opts_.depth;
  const double b = opts_.depth > 0 ? at_.b0 : 1, b_power = std::pow(b, depth);
  const double grown = std::pow(t, (depth + 2) / (2 * depth + 2));
  const double slope = std::max(2 * b_power * t, opts_.depth > 0 ? grown : 0.0);
  const bool fitted = at_.lambda * b_power * b_power * t > 40; // theta is z, whatever z
  return fitted || slope == 0 ? std::numeric_limits<double>::infinity() : 1 / slope;
}

void noise_mean::add_nodes(int halvings, interrupt_poll *poll) {
  const double step = std::ldexp(first_step_, -halvings);
  const double last = std::floor(high_ / step);
  double k = std::ceil(low_ / step);
  if (halvings > 0 && std::fmod(k, 2) == 0)
    ++k; // even multiples are nodes already
  while (k <= last) {
    index n = 0;
    for (; n < most_nodes && k <= last; k += halvings > 0 ? 2 : 1)
      put_node(n++, k * step);
    evaluate(n);
    if (poll != nullptr)
      (*poll)();
  }
}

// Weights are relative: their sum divides the result.
void noise_mean::put_node(index i, double w) {
  const double z = width_ > 0 ? width_ * std::sinh(w) : at_.signal + std_ * w;
  const double xi = width_ > 0 ? (z - at_.signal) / std_ : w;
  z_[i] = z;
  noise_[i] = std_ * xi;
  weight_[i] = std::exp(-0.5 * xi * xi) * (width_ > 0 ? std::cosh(w) : 1);
  if (symmetric_ && w > 0)
    weight_[i] *= 2;
}

void noise_mean::evaluate(index n) {
  flow_at_nodes(n);
  for (index j = 0; j < n; ++j)
    weight_sum_ += weight_[j];
  for (std::size_t i = 0; i < t_.size(); ++i) {
    double lane[4] = {};
    for (index j = 0; j < n; ++j) {
      const double e = error(i, j, n);
      lane[j % 4] += weight_[j] * e * e;
    }
    weighted_[i] += (lane[0] + lane[1]) + (lane[2] + lane[3]);
  }
}

void noise_mean::flow_at_nodes(index n) {
  const isa::flow_tile tile{z_, lambda_, b0_, n};
  const isa::flow_times times{t_.data(), packed_row_.data(), static_cast<index>(t_.size())};
  if (opts_.depth > 0) {
    isa::flow_fields out;
    out.theta = theta_.data();
    out.residual = with_residual_ ? residual_.data() : nullptr;
    out.stride = n;
    isa::flow().march(opts_.depth, b_rate(opts_), tile, times, out);
    return;
  }
  double slope[most_nodes];
  for (index i = 0; i < times.n; ++i)
    if (with_residual_)
      isa::flow().closed_fields(tile, times.t[i], &theta_[0] + i * n, &residual_[0] + i * n, slope);
    else
      isa::flow().closed_theta(tile, times.t[i], &theta_[0] + i * n);
}

// theta - signal.
double noise_mean::error(std::size_t time, index node, index n) const {
  const std::size_t i = time * static_cast<std::size_t>(n) + static_cast<std::size_t>(node);
  if (with_residual_ && std::abs(residual_[i]) < std::abs(theta_[i]))
    return noise_[node] - residual_[i];
  return theta_[i] - at_.signal;
}

// Times whose mean has settled, and all where there is no noise, are added and leave.
void noise_mean::settle(int halvings, double *sums) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < t_.size(); ++i) {
    const double mean = weighted_[i] / weight_sum_;
    // Not finite counts as settled.
    if (std_ == 0 || (halvings > 0 && !(std::abs(mean - before_[i]) > rtol_ * mean))) {
      sums[row_[i]] += mean;
      continue;
    }
    t_[kept] = t_[i];
    row_[kept] = row_[i];
    weighted_[kept] = weighted_[i];
    before_[kept++] = mean;
  }
  t_.resize(kept);
  row_.resize(kept);
  weighted_.resize(kept);
  before_.resize(kept);
}

} // namespace eigenflow::flow
