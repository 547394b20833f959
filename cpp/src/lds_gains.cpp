// SPDX-License-Identifier: BSD-3-Clause
#include "lds_gains.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace eigenflow::lds {
namespace {

constexpr index most_patterns = 64;
constexpr index most_numbers = index{1} << 20; // 8 MB
// After gaps at regular distances the law of the last one, or of one of the last few, is near.
constexpr std::size_t most_compared = 32;
constexpr index worth_it = 3; // times as many found as computed
const double log_two_pi = std::log(2 * std::numbers::pi);

} // namespace

gain_cache::gain_cache(const dense_model &system, const steady_filter &steady, bool wanted)
    : system_(system), steady_(steady), usable_(wanted && steady.usable && system.p <= 64) {
  all_ = system.p >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << system.p) - 1;
  const index n = system.n, p = system.p;
  most_laws_ = std::clamp<index>(most_numbers / (4 * n * n + p * (3 * n + p) + 32), 16, 8192);
}

std::uint64_t gain_cache::pattern(vector_view<const double> y) const {
  std::uint64_t out = 0;
  for (index k = 0; k < system_.p; ++k)
    out |= std::uint64_t{!std::isnan(y[k])} << k;
  return out;
}

observed_rows &gain_cache::rows(std::uint64_t pattern) {
  for (const auto &[known, rows] : rows_)
    if (known == pattern)
      return *rows;
  rows_.emplace_back(pattern, std::make_unique<observed_rows>(system_));
  return *rows_.back().second;
}

// Law 0 is the steady one, which whole rows keep.
void gain_cache::start() {
  if (!laws_.empty())
    return;
  move stay;
  stay.pattern = all_;
  stay.stays = true;
  stay.constant = -0.5 * (static_cast<double>(system_.p) * log_two_pi + steady_.log_det);
  stay.gain = steady_gain(system_, steady_);
  laws_.push_back({steady_.P, {}, nullptr, {}});
  attach(0, std::move(stay));
}

void gain_cache::attach(index law, move &&m) {
  moves_.push_back(std::move(m));
  stored &from = laws_[count(law)];
  if (whole(moves_.back().pattern))
    from.whole = &moves_.back();
  else
    from.others.push_back(&moves_.back());
}

index gain_cache::add(const buffer &cov, const buffer &root) {
  start();
  laws_.push_back({cov, root, nullptr, {}});
  return static_cast<index>(laws_.size()) - 1;
}

gain_cache::move *gain_cache::find(index law, std::uint64_t pattern) {
  start();
  const stored &from = laws_[count(law)];
  if (whole(pattern))
    return from.whole;
  for (move *m : from.others)
    if (m->pattern == pattern)
      return m;
  return nullptr;
}

index gain_cache::keep(index law, std::uint64_t pattern, const std::vector<scalar_update> &trace,
                       const stored_places &places, const buffer &cov, const buffer &root,
                       double &gap) {
  ++missed_;
  move m;
  m.pattern = pattern;
  m.places = places;
  for (const scalar_update &u : trace) {
    if (u.used && !std::isnormal(1 / u.variance)) // a variance at the ends of the range
      usable_ = false;
    m.constant -= u.used ? 0.5 * (log_two_pi + std::log(u.variance)) : 0;
  }
  m.gain = gain_of_row(system_, rows(pattern), trace);
  gap = distance(steady_, cov);
  m.next = gap <= steady_.tolerance ? 0 : law_near(pattern, cov, gap);
  const bool full = static_cast<index>(laws_.size()) >= most_laws_ ||
                    static_cast<index>(rows_.size()) > most_patterns;
  if (!usable_ || (m.next < 0 && full)) {
    clear();
    return -1;
  }
  if (m.next < 0) {
    m.next = add(cov, root);
    gap = 0;
    if (pattern != all_)
      after_gap_.emplace_back(pattern, m.next);
  }
  const index next = m.next;
  attach(law, std::move(m));
  return next;
}

index gain_cache::law_near(std::uint64_t pattern, const buffer &cov, double &gap) const {
  if (pattern == all_)
    return -1;
  const index n = system_.n;
  // A law far below the steady one is held to its own size: it may be about to grow.
  buffer own(count(n));
  for (index i = 0; i < n; ++i)
    own[count(i)] =
        std::min(steady_.scale[count(i)], std::sqrt(std::max(cov[count(i * n + i)], 0.0)));
  std::size_t compared = 0;
  for (std::size_t k = after_gap_.size(); k-- > 0 && compared < most_compared;) {
    const auto &[known, place] = after_gap_[k];
    if (known != pattern)
      continue;
    ++compared;
    gap = 0;
    const buffer &other = laws_[count(place)].cov;
    for (index i = 0; i < n * n && gap <= steady_.tolerance; ++i) {
      const double difference = std::abs(cov[count(i)] - other[count(i)]);
      const double unit = own[count(i / n)] * own[count(i % n)];
      if (difference > 0)
        gap = unit > 0 ? std::max(gap, difference / unit) : HUGE_VAL;
    }
    if (gap <= steady_.tolerance)
      return place;
  }
  return -1;
}

// Emptied when full. Gaps that never come twice in the same way are not worth the trouble.
void gain_cache::clear() {
  usable_ = usable_ && found_ > worth_it * missed_;
  laws_.clear();
  moves_.clear();
  after_gap_.clear();
  rows_.clear();
  found_ = missed_ = 0;
}

} // namespace eigenflow::lds
