// SPDX-License-Identifier: BSD-3-Clause
#include "lds_series_lanes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace eigenflow::lds {
namespace {

constexpr index lanes = series_lanes::width, tile_steps = 64;

isa::lds_gain gain_of(const dense_model &s, const steady_filter &f) {
  return {s.n, s.p, f.F.data(), f.L.data(), s.c.data(), s.C.data(), f.K.data(), f.whiten.data()};
}

template <class T> bool packed(const matrix_view<T> &m) {
  return m.row_stride == m.cols && (m.cols == 1 || m.col_stride == 1);
}

// One field of the results of eight series, by tiles.
class output_tile {
public:
  output_tile(const std::vector<problem> &eight, matrix_view<double> filter_outputs::*field)
      : width_((eight[0].out.*field).rows > 0 ? (eight[0].out.*field).cols : 0),
        tile_(count(tile_steps * width_ * lanes)) {
    for (std::size_t lane = 0; lane < count(lanes) && width_ > 0; ++lane)
      to_[lane] = &(eight[lane].out.*field)(0, 0);
  }
  double *at(index step) { return width_ > 0 ? tile_.data() + step * width_ * lanes : nullptr; }
  void write(index first, index steps, bool around) const {
    if (width_ == 0)
      return;
    std::array<double *, lanes> to = to_;
    for (double *&row : to)
      row += first * width_;
    isa::lds().deinterleave(tile_.data(), steps * width_, to.data(), around);
  }

private:
  index width_;
  buffer tile_;
  std::array<double *, lanes> to_{};
};

} // namespace

std::optional<series_lanes> series_lanes::plan(const model_cursor &system,
                                               const steady_filter &steady, const belief &start,
                                               const batch &series, index n_steps,
                                               const filter_options &options) {
  constexpr index longest = index{1} << 17; // Ctrl-C is noticed between groups of eight
  const dense_model &s = system.now();
  const bool simple = series.shared_system && system.constant() && system.fixed_offsets() &&
                      system.inputs().rows == 0 && s.S.empty() && start.n_diffuse == 0;
  const bool stores =
      options.store_predicted_cov || options.store_filtered_cov || options.store_innovation_cov;
  if (!simple || stores || !options.switch_to_steady || !steady.usable || n_steps == 0 ||
      n_steps > longest || series.n_series < lanes || s.n > isa::lds_max_dim ||
      s.p > isa::lds_max_dim)
    return std::nullopt;
  series_lanes side(s, steady, start);
  side.n_steps_ = n_steps;
  constexpr index large = index{1} << 23; // numbers: beyond most caches
  side.around_ = series.n_series * n_steps * s.n >= large;
  return side.find_gains(options) ? std::optional(std::move(side)) : std::nullopt;
}

bool series_lanes::find_gains(const filter_options &options) {
  constexpr std::size_t most = std::size_t{1} << 20; // numbers: 8 MB
  const std::size_t each = 4 * count(system_.n * system_.n + system_.p * (system_.n + system_.p));
  stepper step(system_, resolve_form(options.form, system_, start_));
  observed_rows rows(system_);
  const buffer zeros(count(system_.p), 0.0);
  belief state = start_;
  for (index t = 0; t <= n_steps_; ++t) {
    const double gap = distance(steady_, state.cov);
    if (gap <= steady_.tolerance) {
      steady_from_ = t < n_steps_ ? t : -1;
      log_dets_ += static_cast<double>(n_steps_ - t) * steady_.log_det;
      error_ = (gap + steady_.residual) * steady_.forgetting;
      final_cov_ = steady_.P;
      return true;
    }
    if (t == n_steps_)
      break;
    steady_filter now;
    now.P = state.cov;
    if (gains_.size() * each > most || !set_gain(system_, now))
      return false;
    log_dets_ += now.log_det;
    gains_.push_back(std::move(now));
    rows.read({zeros.data(), system_.p, 1});
    step.update(state, rows, nullptr);
    step.predict(state, rows);
    if (!step.in_range())
      return false;
  }
  final_cov_ = std::move(state.cov);
  return true;
}

bool series_lanes::fits(const problem &one) const {
  const auto rows_fit = [&](const matrix_view<double> &m, index columns) {
    return m.rows == 0 || (m.rows == n_steps_ && m.cols == columns && packed(m));
  };
  const filter_outputs &out = one.out;
  return one.series.y.rows == n_steps_ && one.series.y.cols == system_.p && packed(one.series.y) &&
         rows_fit(out.filtered_mean, system_.n) && rows_fit(out.predicted_mean, system_.n) &&
         rows_fit(out.innovations, system_.p) && out.log_likelihood_terms.size == 0 &&
         one.start.cov == start_.cov && one.start.mean.size() == start_.mean.size() &&
         one.start.n_diffuse == 0;
}

filter_result series_lanes::result_of(double squares) const {
  filter_result r;
  const double constant =
      static_cast<double>(n_steps_ * system_.p) * std::log(2 * std::numbers::pi);
  r.log_likelihood = -0.5 * (constant + log_dets_ + squares);
  r.steady_from = steady_from_;
  r.error_bound = error_;
  r.final_state.cov = final_cov_;
  return r;
}

// Standardised squares are added to those of each lane; state is [n][lane].
void series_lanes::filter_rows(const problems &eight, double *state, double *squares) const {
  const index p = system_.p, n_gains = static_cast<index>(gains_.size());
  output_tile filtered(eight, &filter_outputs::filtered_mean),
      predicted(eight, &filter_outputs::predicted_mean),
      innovations(eight, &filter_outputs::innovations);
  buffer y(count(tile_steps * p * lanes));
  for (index t = 0; t < n_steps_; t += tile_steps) {
    const index steps = std::min(tile_steps, n_steps_ - t);
    gather(eight, t, steps, y.data());
    for (index s = 0; s < steps;) {
      const bool settled = t + s >= n_gains;
      const index now = settled ? steps - s : 1;
      const isa::lds_tile rows{predicted.at(s), filtered.at(s), innovations.at(s), nullptr};
      isa::lds().observe(gain_of(system_, settled ? steady_ : gains_[count(t + s)]),
                         y.data() + s * p * lanes, nullptr, now, state, rows, squares);
      s += now;
    }
    predicted.write(t, steps, around_);
    filtered.write(t, steps, around_);
    innovations.write(t, steps, around_);
  }
}

// Observations of a tile with their offsets off.
void series_lanes::gather(const problems &eight, index first, index steps, double *y) const {
  const index p = system_.p;
  const double *from[lanes];
  for (index lane = 0; lane < lanes; ++lane)
    from[lane] = &eight[count(lane)].series.y(first, 0);
  isa::lds().interleave(from, steps * p, y);
  for (index i = 0; i < steps * p; ++i)
    if (const double shift = system_.d[count(i % p)]; shift != 0)
      for (index lane = 0; lane < lanes; ++lane)
        y[i * lanes + lane] -= shift;
}

void series_lanes::run(const batch &series, index first,
                       const std::function<void(index)> &alone) const {
  const index n = system_.n;
  problems eight;
  bool all_fit = true;
  for (index lane = 0; lane < lanes; ++lane) {
    eight.push_back(series.at(first + lane));
    all_fit = all_fit && fits(eight.back());
  }
  if (!all_fit) {
    for (index lane = 0; lane < lanes; ++lane)
      alone(first + lane);
    return;
  }
  buffer state(count(n * lanes));
  for (index i = 0; i < n * lanes; ++i)
    state[count(i)] = eight[count(i % lanes)].start.mean[count(i / lanes)];
  double squares[lanes] = {};
  filter_rows(eight, state.data(), squares);
  for (index lane = 0; lane < lanes; ++lane) {
    filter_result r = result_of(squares[lane]);
    double sum = squares[lane]; // x - x is NaN for what is not finite
    for (index i = 0; i < n; ++i) {
      const double x = state[count(i * lanes + lane)];
      r.final_state.mean.push_back(x);
      sum += x - x;
    }
    if (std::isfinite(sum))
      series.done(first + lane, std::move(r));
    else
      alone(first + lane);
  }
}

} // namespace eigenflow::lds
