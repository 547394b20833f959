// SPDX-License-Identifier: BSD-3-Clause
#include "lds_filter.hpp"

#include "lds_full.hpp"
#include "lds_gaps.hpp"
#include "lds_known_rows.hpp"
#include "lds_recorder.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

namespace eigenflow::lds {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
const double log_two_pi = std::log(2 * std::numbers::pi);

void write_row(matrix_view<double> out, index t, const buffer &row) {
  if (out.rows > 0)
    for (index i = 0; i < out.cols; ++i)
      out(t, i) = row[count(i)];
}

class series_filter {
public:
  series_filter(model_cursor &cursor, const steady_filter &steady, const belief &start,
                matrix_view<const double> y, const filter_outputs &out,
                const filter_options &options, filter_trace *trace)
      : cursor_(cursor), system_(cursor.now()), steady_(steady), y_(y), out_(out),
        options_(options), trace_(trace),
        step_(system_, resolve_form(options.form, system_, start)), rows_(system_),
        record_(system_, y.rows, options, result_),
        gains_(system_, steady, options.switch_to_steady), known_(cursor, y, out),
        gaps_(y, options.workers), state_(start) {
    const update_form form = resolve_form(options.form, system_, start);
    if (trace == nullptr && !(options.switch_to_steady && steady.usable))
      full_ = full_run::plan(cursor, y, out, options, form);
  }

  filter_result run(index begin) {
    interrupt_poll poll;
    index t = begin;
    while (t < y_.rows && (trace_ == nullptr || !trace_->full())) {
      const bool settled = settle(t);
      index end = settled ? steady_stretch(t) : t;
      if (end == t)
        end = full_steps(t);
      if (end == t && (settled || place_ > 0))
        end = known_steps(t, known_rows::most, false);
      if (end == t)
        full_step(end++, settled);
      if (end - t > 1 || end % 16 == 0) // a clock costs as much as a small step
        poll();
      if (end / 4096 != t / 4096)
        report(end);
      t = end;
    }
    settle(t);
    refresh();
    result_.error_bound = error_;
    result_.final_state = std::move(state_);
    if (trace_ != nullptr)
      trace_->stopped_at = t;
    return std::move(result_);
  }

private:
  static constexpr index shortest_look = 2048, longer_look = 256, longest_look = index{1} << 22;
  static constexpr index worth_cutting = 1024; // into chunks of time

  void report(index t) const {
    if (options_.progress)
      options_.progress(t);
  }

  // True when the predicted covariance is the steady one, to rounding; from then on it is exactly.
  bool settle(index t) {
    if (!options_.switch_to_steady || !steady_.usable || state_.n_diffuse > 0 || place_ > 0)
      return false;
    const double gap = distance(steady_, state_.cov);
    if (!(gap <= steady_.tolerance))
      return false;
    if (gap > 0) {
      state_.cov = steady_.P;
      step_.restart();
    }
    add_error(gap);
    if (result_.steady_from < 0 && t < y_.rows)
      result_.steady_from = t;
    return true;
  }

  void add_error(double gap) {
    error_ = std::max(error_, (gap + steady_.residual) * steady_.forgetting);
  }

  // Goes on to the first gap, or as far as gaps are looked for; returns where. Stays where it is if
  // a gap is too near for it to be worth the trouble.
  index steady_stretch(index begin) {
    const index look = std::min(y_.rows, begin + look_);
    if (trace_ == nullptr && hopeful_ && look - begin > shortest_look) {
      // Without gaps so far there may be none: a missing number makes the sum of squares NaN, an
      // infinite one infinite, and looking for them beforehand would cost a pass over y.
      const buffer mean = state_.mean;
      if (constant_gain(begin, look, false))
        return grown(look);
      state_.mean = mean;
      hopeful_ = false;
    }
    const index end = gaps_.next(begin, look);
    hopeful_ = hopeful_ && end == look;
    if (trace_ == nullptr && gains_.usable() && end - begin < worth_cutting)
      return begin;
    if (!constant_gain(begin, end, true) && options_.check_finite)
      refuse_mean(end - 1);
    if (end == look)
      return grown(end);
    look_ = shortest_look;
    return end;
  }

  index grown(index end) {
    look_ = std::min(longer_look * look_, longest_look);
    return end;
  }

  // False where a number is not finite; then, unless it must be taken as it is, nothing but outputs
  // and the mean has changed.
  bool constant_gain(index begin, index end, bool must) {
    if (begin == end)
      return true;
    if (trace_ != nullptr) {
      trace_->runs.push_back({begin, end, true, state_.mean, 0});
      skip_steady({cursor_, steady_, y_, options_.workers}, begin, end, state_.mean);
      return all_finite(state_.mean);
    }
    double mismatch = 0;
    const double squares = run_steady({cursor_, steady_, y_, options_.workers}, begin, end, out_,
                                      state_.mean, mismatch);
    // An infinite sum says that a number may be infinite, unless all were looked at before.
    const bool finite =
        (must ? !std::isnan(squares) : std::isfinite(squares)) && all_finite(state_.mean);
    if (!finite && !must)
      return false;
    error_ = std::max(error_, mismatch);
    const double steps = static_cast<double>(end - begin);
    result_.log_likelihood -=
        0.5 * (steps * (static_cast<double>(system_.p) * log_two_pi + steady_.log_det) + squares);
    record_.steady(steady_, end - begin);
    return finite;
  }

  // Many at a time, where no steady covariance is to be looked for.
  index full_steps(index t) {
    constexpr index most = 4096;
    return full_ ? full_->advance(t, std::min(y_.rows, t + most), state_, result_.log_likelihood)
                 : t;
  }

  void full_step(index t, bool settled) {
    if (options_.check_finite)
      check_row(y_, t);
    cursor_.seek(t);
    result_.n_diffuse += state_.n_diffuse > 0 ? 1 : 0;
    stored_places places;
    if (!gains_.usable()) {
      compute(t, settled, rows_, nullptr, places);
      return;
    }
    const std::uint64_t pattern = gains_.pattern(y_.row(t));
    if (place_ < 0 && state_.n_diffuse == 0 && !gains_.whole(pattern))
      place_ = settled ? 0 : gains_.add(state_.cov, step_.root());
    if (place_ < 0)
      compute(t, settled, rows_, nullptr, places);
    else if (known_steps(t, 1, true) == t)
      learn(t, settled, pattern);
  }

  // Rows that are known: only the mean moves. Returns where they end; unless it must be taken as
  // it is, a mean that is not finite ends them before they began.
  index known_steps(index begin, index wanted, bool must) {
    if (!gains_.usable())
      return begin;
    if (trace_ != nullptr) { // which remembers each step
      wanted = 1;
      must = true;
    }
    const bool first_home = result_.steady_from < 0;
    const index steps =
        known_.find(gains_, gaps_, std::max<index>(place_, 0), begin,
                    std::min(y_.rows - begin, wanted), options_.check_finite, first_home);
    if (steps == 0)
      return begin;
    if (trace_ != nullptr) {
      refresh();
      remember(begin);
    }
    const buffer mean = state_.mean;
    if (!known_.run(state_.mean)) {
      if (!must) {
        state_.mean = mean;
        return begin;
      }
      if (options_.check_finite)
        refuse_mean(begin);
    }
    take_known(steps);
    return begin + steps;
  }

  void take_known(index steps) {
    result_.log_likelihood += known_.log_likelihood();
    for (index s = 0; s < steps && record_.wanted(); ++s)
      if (known_.move(s).stays)
        record_.steady(steady_, 1);
      else
        record_.again(known_.move(s).places);
    if (known_.passed_home())
      add_error(0);
    place_ = known_.move(steps - 1).next;
    fresh_ = false;
    come_home();
  }

  void compute(index t, bool settled, observed_rows &rows, std::vector<scalar_update> *updates,
               stored_places &places) {
    rows.read(y_.row(t));
    record_.before(steady_, state_.cov, settled, places);
    before_update(t);
    const double term = step_.update(state_, rows, updates);
    after_update(t, term);
    record_.after(state_.cov, places);
    step_.predict(state_, rows);
    check_range(t);
  }

  // A step on the way from a gap that was not there before.
  void learn(index t, bool settled, std::uint64_t pattern) {
    refresh();
    stored_places places;
    compute(t, settled, gains_.rows(pattern), &updates_, places);
    double gap = 0;
    place_ = gains_.keep(place_, pattern, updates_, places, state_.cov, step_.root(), gap);
    fresh_ = place_ < 0 || gap == 0;
    if (place_ >= 0 && gap > 0)
      add_error(gap);
    come_home();
  }

  void come_home() {
    if (place_ != 0)
      return;
    state_.cov = steady_.P;
    step_.restart();
    place_ = -1;
    fresh_ = true;
  }

  // Gives state_ the covariance of place_.
  void refresh() {
    if (fresh_)
      return;
    state_.cov = gains_.cov(place_);
    step_.resume(gains_.root(place_));
    fresh_ = true;
  }

  void before_update(index t) {
    write_row(out_.predicted_mean, t, state_.mean);
    write_innovation(t);
    if (trace_ != nullptr)
      remember(t);
  }

  void after_update(index t, double term) {
    result_.log_likelihood += term;
    if (out_.log_likelihood_terms.size > 0)
      out_.log_likelihood_terms[t] = term;
    write_row(out_.filtered_mean, t, state_.mean);
  }

  void remember(index t) {
    if (trace_->runs.empty() || trace_->runs.back().steady)
      trace_->runs.push_back({t, t, false, {}, trace_->steps.size()});
    trace_->runs.back().end = t + 1;
    trace_->steps.push_back(state_);
  }

  // Finite numbers whose products are not: the NaN that would follow says nothing.
  void check_range(index t) const {
    if (!step_.in_range() || !all_finite(state_.cov))
      refuse_variance(t);
    if (options_.check_finite && !all_finite(state_.mean))
      refuse_mean(t);
  }

  void write_innovation(index t) {
    if (out_.innovations.rows == 0)
      return;
    for (index k = 0; k < system_.p; ++k)
      out_.innovations(t, k) =
          std::isnan(y_(t, k))
              ? nan
              : y_(t, k) - system_.d[count(k)] -
                    small::dot(system_.n, system_.C.data() + k * system_.n, state_.mean.data());
  }

  model_cursor &cursor_;
  const dense_model &system_;
  const steady_filter &steady_;
  matrix_view<const double> y_;
  const filter_outputs &out_;
  const filter_options &options_;
  filter_trace *trace_;
  filter_result result_;
  stepper step_;
  observed_rows rows_;
  recorder record_;
  std::optional<full_run> full_;
  gain_cache gains_;
  known_rows known_;
  gap_finder gaps_;
  std::vector<scalar_update> updates_;
  belief state_;
  index place_ = -1;  // in gains_, after a gap
  bool fresh_ = true; // state_.cov is that of place_
  double error_ = 0;
  index look_ = shortest_look; // how far ahead gaps are looked for
  bool hopeful_ = true;        // no gap was met in a steady stretch
};

void check_start(const dense_model &s, const belief &start) {
  const bool fits = start.mean.size() == count(s.n) && start.cov.size() == count(s.n * s.n) &&
                    start.n_diffuse >= 0 && start.diffuse.size() == count(s.n * start.n_diffuse);
  require(fits, "start: want mean (n), cov (n x n), diffuse (n x n_diffuse)");
}

void check_outputs(const dense_model &s, index n_steps, const filter_outputs &out) {
  const auto fits = [&](matrix_view<double> m, index width) {
    return m.rows == 0 || (m.rows == n_steps && m.cols == width);
  };
  require(fits(out.filtered_mean, s.n) && fits(out.predicted_mean, s.n) &&
              fits(out.innovations, s.p) &&
              (out.log_likelihood_terms.size == 0 || out.log_likelihood_terms.size == n_steps),
          "out: want one row for each row of y, or none");
}

} // namespace

// A fixed point that plain steps need longer for than the series lasts is of no use.
steady_filter steady_for(const model_cursor &system, index n_steps, bool wanted) {
  return *steady_for(system, n_steps, wanted, nullptr);
}

std::shared_ptr<const steady_filter> steady_for(const model_cursor &system, index n_steps,
                                                bool wanted, steady_memory *memory) {
  if (!wanted || n_steps == 0 || !system.constant())
    return std::make_shared<const steady_filter>();
  steady_memory once;
  return (memory != nullptr ? *memory : once).get(std::min<index>(n_steps, 2000), [&](index most) {
    return solve_steady(system.now(), most);
  });
}

filter_result filter(model_cursor &system, const steady_filter &steady, const belief &start,
                     matrix_view<const double> y, const filter_outputs &out,
                     const filter_options &options, filter_trace *trace) {
  require(y.cols == system.now().p, "y: want one column for each row of C");
  require(system.inputs().rows == 0 || system.inputs().rows == y.rows,
          "inputs: want one row for each row of y");
  check_start(system.now(), start);
  check_outputs(system.now(), y.rows, out);
  return series_filter(system, steady, start, y, out, options, trace)
      .run(trace != nullptr ? trace->begin : 0);
}

filter_result filter(const model &system, const belief &start, const observations &series,
                     const filter_outputs &out, const filter_options &options) {
  model_cursor cursor(system, series.inputs);
  const steady_filter steady = steady_for(cursor, series.y.rows, options.switch_to_steady);
  return filter(cursor, steady, start, series.y, out, options, nullptr);
}

} // namespace eigenflow::lds
