// SPDX-License-Identifier: BSD-3-Clause
#include "flow_noise.hpp"

#include <cmath>
#include <limits>

namespace eigenflow::flow {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double largest_reach = 38;       // exp(-reach^2 / 2) is just above the smallest double
constexpr double half_normal_tail = 0.158; // the probability of noise above one deviation
constexpr double inverse_root_two_pi = 0.3989422804014327;
constexpr int most_halvings = 5;
constexpr double narrowest_panel = 0x1p-60;

// Gauss-Kronrod: 15 nodes on [-1, 1], of which every other one has a weight in the Gauss rule.
constexpr index panel_size = 15;
constexpr double kronrod_node[8] = {
    0.9914553711208126, 0.9491079123427585, 0.8648644233597691,  0.7415311855993945,
    0.5860872354676911, 0.4058451513773972, 0.20778495500789848, 0};
constexpr double kronrod_weight[8] = {
    0.022935322010529224, 0.06309209262997856, 0.10479001032225019, 0.14065325971552592,
    0.1690047266392679,   0.19035057806478542, 0.20443294007529889, 0.20948214108472782};
constexpr double gauss_weight[8] = {0, 0.1294849661688697, 0, 0.27970539148927664,
                                    0, 0.3818300505051189, 0, 0.4179591836734694};

double density(double xi) { return std::exp(-0.5 * xi * xi); }

} // namespace

noise_mean::noise_mean(const options &opts, const isa::flow_times &times, double rtol)
    : opts_(opts), all_(times), rtol_(rtol) {
  const auto n = static_cast<std::size_t>(times.n);
  theta_.resize(n * most_nodes);
  residual_.resize(n * most_nodes);
  packed_row_.resize(n);
  std::iota(packed_row_.begin(), packed_row_.end(), std::int64_t{0});
}

void noise_mean::add_bounds(const noisy_coordinate &at, double *sums) {
  start(at, nullptr);
  const std::vector<double> least = bounds();
  for (std::size_t i = 0; i < least.size(); ++i)
    sums[pending_[i].row] += least[i];
}

void noise_mean::add(const noisy_coordinate &at, const double *floors, double *sums,
                     interrupt_poll *poll) {
  start(at, floors);
  const bool noisy = at.variance > 0 && std::isfinite(at.variance);
  const double limit = noisy ? reach(bounds()) : 0;
  for (int halvings = 0; halvings <= most_halvings && !pending_.empty(); ++halvings) {
    trapezoid(halvings, limit, poll);
    settle(halvings, sums);
  }
  if (!pending_.empty())
    bisect(limit, sums, poll);
}

void noise_mean::start(const noisy_coordinate &at, const double *floors) {
  at_ = at;
  std_ = std::sqrt(at.variance);
  symmetric_ = at.signal == 0;
  // Where both share many digits theta - signal has few left; the noise less z - theta has all.
  with_residual_ = std::abs(at.signal) > 1024 * std_;
  std::fill_n(lambda_, most_nodes, at.lambda);
  std::fill_n(b0_, most_nodes, at.b0);
  weight_sum_ = 0;
  pending_.clear();
  for (index i = 0; i < all_.n; ++i) {
    const double floor = floors == nullptr ? 0 : floors[all_.row[i]];
    pending_.push_back({all_.t[i], all_.row[i], floor, 0, 0, infinity, false});
  }
}

// Theta lies between 0 and z and grows with z, so that the mean is at least the larger value of
// (theta - signal)^2 at one deviation times the probability of the noise beyond.
std::vector<double> noise_mean::bounds() {
  put_node(0, 1, 1);
  put_node(1, -1, 1);
  flow_at_nodes(pending_, 2);
  std::vector<double> least(pending_.size());
  for (std::size_t i = 0; i < least.size(); ++i) {
    const double most = std::max(std::abs(error(i, 0, 2)), std::abs(error(i, 1, 2)));
    least[i] = (std_ > 0 ? half_normal_tail : 1) * most * most;
  }
  return least;
}

// How many standard deviations of noise matter: (theta - signal)^2 is at most max(signal, noise)^2.
double noise_mean::reach(const std::vector<double> &least) {
  double needed = infinity;
  for (std::size_t i = 0; i < least.size(); ++i)
    if (least[i] > 0)
      needed = std::min(needed, std::max(least[i], pending_[i].floor) / at_.variance);
  const double ratio = at_.signal / std_;
  double noise = 6;
  for (int i = 0; i < 6; ++i) {
    const double excess = std::max(1.0, (ratio / noise) * (ratio / noise));
    const double tail = 1.6 * excess * (noise + 1 / noise); // exp(noise^2 / 2) times the bound
    noise = std::sqrt(2 * std::log(std::max(1e3, 4 * tail / (rtol_ * needed))));
    noise = std::min(noise, largest_reach);
  }
  return noise;
}

// Adds the nodes that a halved step brings. Weights are relative: their sum divides the result.
void noise_mean::trapezoid(int halvings, double limit, interrupt_poll *poll) {
  const double step = std::ldexp(1.0, -halvings), last = std::floor(limit / step);
  const double stride = halvings > 0 ? 2 : 1;
  double k = symmetric_ ? 0 : -last;
  if (halvings > 0 && std::fmod(k, 2) == 0)
    ++k; // even multiples are nodes already
  while (k <= last) {
    index n = 0;
    for (; n < most_nodes && k <= last; k += stride, ++n)
      put_node(n, k * step, (symmetric_ && k > 0 ? 2 : 1) * density(k * step));
    flow_at_nodes(pending_, n);
    for (index j = 0; j < n; ++j)
      weight_sum_ += weight_[j];
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      pending &time = pending_[i];
      for (index j = 0; j < n; ++j) {
        const double e = error(i, j, n), z = std::abs(z_[j]);
        const double theta =
            std::abs(theta_[i * static_cast<std::size_t>(n) + static_cast<std::size_t>(j)]);
        time.sum += weight_[j] * e * e;
        time.jump_seen = time.jump_seen || 2 * theta < z;
        time.seen_at = z > 0 && 2 * theta >= z ? std::min(time.seen_at, z) : time.seen_at;
      }
    }
    if (poll != nullptr)
      (*poll)();
  }
}

// A jump closer to z = 0 than all nodes would go unnoticed. Below the nearest node |z - theta| is
// at most exp(-K t) |z|, K the rate at theta = 0: what it can hide is bounded.
bool noise_mean::hides_a_jump(const pending &time) const {
  const double z = time.seen_at, gap = (std::abs(at_.signal) - z) / std_;
  if (time.jump_seen || z == infinity)
    return false;
  const double b_power = opts_.depth > 0 ? std::pow(at_.b0, opts_.depth) : 1;
  const double rest = std::exp(-at_.lambda * b_power * b_power * time.t);
  const double weight = inverse_root_two_pi * (gap > 0 ? density(gap) : 1) * 2 * z / std_;
  const double most = weight * rest * z * (2 * std::abs(at_.signal) + z);
  return most > rtol_ * std::max(time.before, time.floor);
}

// Times whose mean has settled, and all where there is no noise, are added and leave.
void noise_mean::settle(int halvings, double *sums) {
  const auto settled = [&](pending &time) {
    const double mean = time.sum / weight_sum_;
    const double change = std::abs(mean - time.before);
    time.before = mean;
    // Not finite counts as settled.
    if (std_ > 0 &&
        (halvings == 0 || change > rtol_ * std::max(mean, time.floor) || hides_a_jump(time)))
      return false;
    sums[time.row] += mean;
    return true;
  };
  pending_.erase(std::remove_if(pending_.begin(), pending_.end(), settled), pending_.end());
}

// Panels end at z = 0, where the narrowest jumps are.
void noise_mean::bisect(double limit, double *sums, interrupt_poll *poll) {
  const double zero = std::max(-limit, std::min(limit, -at_.signal / std_));
  std::vector<panel> rest;
  if (limit > zero)
    rest.push_back({zero, limit, pending_});
  if (zero > -limit && !symmetric_)
    rest.push_back({-limit, zero, pending_});
  while (!rest.empty()) {
    const panel at = std::move(rest.back());
    rest.pop_back();
    split(at, sums, rest);
    if (poll != nullptr)
      (*poll)();
  }
  pending_.clear();
}

// Adds the panel's share of the times for which Kronrod and Gauss agree, and halves it for others.
void noise_mean::split(const panel &at, double *sums, std::vector<panel> &rest) {
  const double middle = 0.5 * (at.from + at.to), half = 0.5 * (at.to - at.from);
  double gauss[panel_size];
  for (index j = 0; j < panel_size; ++j) {
    const index i = std::min(j, panel_size - 1 - j);
    const double xi = middle + (j < 7 ? -half : half) * kronrod_node[i];
    const double scale = (symmetric_ ? 2 : 1) * half * inverse_root_two_pi * density(xi);
    put_node(j, xi, scale * kronrod_weight[i]);
    gauss[j] = scale * gauss_weight[i];
  }
  flow_at_nodes(at.times, panel_size);
  panel left{at.from, middle, {}}, right{middle, at.to, {}};
  for (std::size_t i = 0; i < at.times.size(); ++i) {
    double sum = 0, difference = 0;
    for (index j = 0; j < panel_size; ++j) {
      const double e = error(i, j, panel_size);
      sum += weight_[j] * e * e;
      difference += (weight_[j] - gauss[j]) * e * e;
    }
    const pending &time = at.times[i];
    if (std::abs(difference) > 0.1 * rtol_ * std::max(time.before, time.floor) &&
        half > narrowest_panel) {
      left.times.push_back(time);
      right.times.push_back(time);
    } else {
      sums[time.row] += sum;
    }
  }
  if (!left.times.empty()) {
    rest.push_back(std::move(right));
    rest.push_back(std::move(left));
  }
}

void noise_mean::put_node(index i, double xi, double weight) {
  noise_[i] = std_ * xi;
  z_[i] = at_.signal + noise_[i];
  weight_[i] = weight;
}

void noise_mean::flow_at_nodes(const std::vector<pending> &when, index n) {
  t_.clear();
  for (const pending &time : when)
    t_.push_back(time.t);
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

} // namespace eigenflow::flow
