// SPDX-License-Identifier: BSD-3-Clause
// Forward once, then backward over what the forward run left behind. A steady run leaves only where
// it starts (lds_smooth_lanes.cpp goes over it again), any other step its law. Where these laws
// grow beyond a limit the forward run leaves a checkpoint and forgets them; they are made again
// when the backward pass gets there. So memory does not grow with the series.
#include "lds_backward.hpp"
#include "lds_batch.hpp"
#include "lds_filter.hpp"

#include <algorithm>
#include <numbers>
#include <string>

namespace eigenflow::lds {
namespace {

buffer diffuse_part(index n, const belief &state) {
  if (state.n_diffuse == 0)
    return {};
  buffer out(count(n * n));
  small::multiply_right_transposed(n, state.n_diffuse, n, state.diffuse.data(),
                                   state.diffuse.data(), out.data());
  return out;
}

// Covariances arrive last step first; those of settled steps are one value.
class covariance_store {
public:
  covariance_store(bool wanted, index n_steps, covariance_sequence &out) : out_(out) {
    out_.index.resize(count(wanted ? n_steps : 0));
  }
  bool wanted() const { return !out_.index.empty(); }
  std::int32_t put(index t, const buffer &value) {
    const std::size_t n_values = out_.values.size() / value.size();
    require(n_values < 0x7fffffff, "y: too many distinct covariances, want store without them");
    const auto place = static_cast<std::int32_t>(n_values);
    out_.values.insert(out_.values.end(), value.begin(), value.end());
    out_.index[count(t)] = place;
    return place;
  }
  // Steps [begin, end) all have the value of the interior.
  void put_interior(index begin, index end, const buffer &value) {
    if (begin >= end)
      return;
    if (interior_ < 0)
      interior_ = put(begin, value);
    std::fill(out_.index.begin() + begin, out_.index.begin() + end, interior_);
  }

private:
  covariance_sequence &out_;
  std::int32_t interior_ = -1;
};

class series_smoother {
public:
  series_smoother(model_cursor &cursor, const steady_filter &steady, matrix_view<const double> y,
                  const smoother_outputs &out, const smoother_options &options)
      : cursor_(cursor), s_(cursor.now()), steady_(steady), y_(y), out_(out), options_(options),
        pass_(s_, steady, options.store_cov, pairs_wanted(options)), step_(s_, update_form::joseph),
        rows_(s_), whole_(s_), split_(s_), covs_(options.store_cov, y.rows, result_.smoothed_cov),
        lags_(options.store_lag_one_cov, std::max<index>(y.rows - 1, 0), result_.lag_one_cov),
        state_noise_covs_(options.store_state_disturbance_cov, y.rows,
                          result_.state_disturbance_cov),
        obs_noise_covs_(options.store_obs_disturbance_cov, y.rows, result_.obs_disturbance_cov),
        row_(count(s_.n)), obs_row_(count(s_.p)) {
    const buffer zeros(count(s_.p), 0.0);
    whole_.read({zeros.data(), s_.p, 1});
  }

  smoother_result run(const belief &start) {
    struct checkpoint {
      index at;
      belief state;
    };
    std::vector<checkpoint> blocks{{0, start}};
    filter_trace trace = forward(0, start, true);
    while (trace.stopped_at < y_.rows) {
      blocks.push_back({trace.stopped_at, trace.state});
      trace = forward(blocks.back().at, blocks.back().state, true);
    }
    for (std::size_t k = blocks.size(); k-- > 0;) {
      if (k + 1 < blocks.size())
        trace = forward(blocks[k].at, blocks[k].state, false);
      for (std::size_t i = trace.runs.size(); i-- > 0;)
        backward(trace, trace.runs[i]);
    }
    if (steady_.usable)
      result_.error_bound = smoothing_error(s_, steady_, result_.error_bound + mismatch_.forward) +
                            mismatch_.backward;
    return std::move(result_);
  }

private:
  // Covariances of one step, those that are wanted.
  struct step_covs {
    buffer state, lag, state_noise, obs_noise;
  };

  static bool pairs_wanted(const smoother_options &o) {
    return o.store_lag_one_cov || o.store_state_disturbance_cov || o.store_obs_disturbance_cov;
  }

  filter_trace forward(index begin, const belief &state, bool first_time) {
    filter_trace trace;
    filter_options options;
    options.switch_to_steady = options_.switch_to_steady;
    options.form = options_.form;
    options.check_finite = options_.check_finite;
    options.workers = options_.workers;
    trace.begin = begin;
    const filter_result part = filter(cursor_, steady_, state, y_, {}, options, &trace);
    trace.state = part.final_state;
    if (first_time) {
      result_.log_likelihood += part.log_likelihood;
      result_.n_diffuse += part.n_diffuse;
      result_.error_bound = std::max(result_.error_bound, part.error_bound);
      if (result_.steady_from < 0)
        result_.steady_from = part.steady_from;
    }
    return trace;
  }

  void backward(const filter_trace &trace, const filter_trace::run &run) {
    if (run.steady)
      steady_run(run);
    else
      full_run(trace, run);
    done_ += run.end - run.begin;
    if (options_.progress)
      options_.progress(done_);
  }

  void steady_run(const filter_trace::run &run) {
    if (options_.store_cov || pairs_wanted(options_))
      steady_covs(run.begin, run.end);
    const double squares = smooth_steady({cursor_, steady_, y_, options_.workers}, run.begin,
                                         run.end, run.mean, pass_.weights(), out_, mismatch_);
    const auto steps = static_cast<double>(run.end - run.begin);
    result_.log_likelihood -=
        0.5 *
        (steps * (static_cast<double>(s_.p) * std::log(2 * std::numbers::pi) + steady_.log_det) +
         squares);
    check_row_range(pass_.weights(), run.begin);
  }

  void steady_covs(index begin, index end) {
    for (index t = end - 1; t >= begin; --t) {
      const bool settled_before = pass_.settled();
      pass_.steady_step();
      const step_covs covs = covariances(steady_.P, {}, whole_);
      if (settled_before) { // and so are all before
        if (covs_.wanted())
          covs_.put_interior(begin, t + 1, covs.state);
        if (lags_.wanted())
          lags_.put_interior(begin, std::min(t + 1, y_.rows - 1), covs.lag);
        if (state_noise_covs_.wanted())
          state_noise_covs_.put_interior(begin, t + 1, covs.state_noise);
        if (obs_noise_covs_.wanted())
          obs_noise_covs_.put_interior(begin, t + 1, covs.obs_noise);
        return;
      }
      put(t, covs);
    }
  }

  step_covs covariances(const buffer &P, const buffer &P_diffuse, const observed_rows &rows) {
    step_covs out;
    out.state = pass_.covariance(P, P_diffuse);
    if (!pairs_wanted(options_))
      return out;
    pass_.link(P, P_diffuse);
    if (options_.store_lag_one_cov)
      out.lag = pass_.lag(out.state);
    if (options_.store_state_disturbance_cov)
      out.state_noise = pass_.state_noise_cov(out.state);
    if (options_.store_obs_disturbance_cov) {
      split_.read(rows);
      out.obs_noise = pass_.obs_noise_cov(rows, split_, out.state);
    }
    return out;
  }

  void put(index t, const step_covs &covs) {
    if (covs_.wanted())
      covs_.put(t, covs.state);
    if (lags_.wanted() && t + 1 < y_.rows)
      lags_.put(t, covs.lag);
    if (state_noise_covs_.wanted())
      state_noise_covs_.put(t, covs.state_noise);
    if (obs_noise_covs_.wanted())
      obs_noise_covs_.put(t, covs.obs_noise);
  }

  void full_run(const filter_trace &trace, const filter_trace::run &run) {
    interrupt_poll poll;
    for (index t = run.end - 1; t >= run.begin; --t) {
      if (t % 16 == 0)
        poll();
      const belief &before = trace.steps[run.first + count(t - run.begin)];
      const bool diffuse = before.n_diffuse > 0;
      const buffer P_diffuse = diffuse_part(s_.n, before);
      cursor_.seek(t);
      rows_.read(y_.row(t));
      pass_.full_step(step_, before, rows_, diffuse);
      if (out_.smoothed_mean.rows > 0) {
        pass_.mean(before.mean.data(), before.cov, P_diffuse, row_.data());
        check_row_range(row_, t);
        write(out_.smoothed_mean, t, row_);
      }
      if (out_.state_disturbance.rows > 0 || out_.obs_disturbance.rows > 0)
        write_noises(t);
      if (options_.store_cov || pairs_wanted(options_))
        put(t, covariances(before.cov, P_diffuse, rows_));
    }
  }

  static void write(matrix_view<double> out, index t, const buffer &row) {
    for (index i = 0; i < out.cols && out.rows > 0; ++i)
      out(t, i) = row[count(i)];
  }

  void write_noises(index t) {
    split_.read(rows_);
    pass_.noise_means(rows_, split_, row_.data(), obs_row_.data());
    check_row_range(row_, t);
    check_row_range(obs_row_, t);
    write(out_.state_disturbance, t, row_);
    write(out_.obs_disturbance, t, obs_row_);
  }

  void check_row_range(const buffer &row, index t) const {
    if (options_.check_finite)
      for (const double x : row)
        if (!std::isfinite(x))
          throw argument_error(
              "system: got a smoothed state that leaves the range of double at step " +
              std::to_string(t) + ", want other units");
  }

  model_cursor &cursor_;
  const dense_model &s_;
  const steady_filter &steady_;
  matrix_view<const double> y_;
  const smoother_outputs &out_;
  const smoother_options &options_;
  smoother_result result_;
  backward_pass pass_;
  stepper step_;
  observed_rows rows_, whole_; // whole_ has nothing missing
  noise_split split_;
  covariance_store covs_, lags_, state_noise_covs_, obs_noise_covs_;
  buffer row_, obs_row_;
  smoothing_mismatch mismatch_;
  index done_ = 0;
};

smoother_result smooth_one(const steady_filter *shared, const smoother_problem &one,
                           const smoother_options &options) {
  model_cursor s(one.system, one.series.inputs);
  const matrix_view<const double> y = one.series.y;
  const auto fits = [&](matrix_view<double> m, index width) {
    return m.rows == 0 || (m.rows == y.rows && m.cols == width);
  };
  require(fits(one.out.smoothed_mean, s.now().n) && fits(one.out.state_disturbance, s.now().n) &&
              fits(one.out.obs_disturbance, s.now().p),
          "out: want one row for each row of y, or none");
  const steady_filter own =
      shared != nullptr ? steady_filter{} : steady_for(s, y.rows, options.switch_to_steady);
  return series_smoother(s, shared != nullptr ? *shared : own, y, one.out, options).run(one.start);
}

} // namespace

smoother_result smooth(const model &system, const belief &start, const observations &series,
                       const smoother_outputs &out, const smoother_options &options) {
  return smooth_one(nullptr, {system, start, series, out}, options);
}

void smooth(const smoother_batch &series, const smoother_options &options) {
  if (series.n_series <= 0)
    return;
  const smoother_problem first = series.at(0);
  const index n_steps = first.series.y.rows;
  const auto shared = steady_for(model_cursor(first.system, first.series.inputs), n_steps,
                                 options.switch_to_steady && series.shared_system, series.memory);
  batch_progress told(options.progress, series.n_series, n_steps);
  smoother_options each = options; // its hook is copied here, and not on other threads
  if (series.n_series > 1)
    each.progress = {};
  for_each_series(0, series.n_series, n_steps, options.workers, [&](index i, int workers) {
    smoother_options own = each;
    own.workers = workers;
    series.done(i, smooth_one(series.shared_system ? shared.get() : nullptr, series.at(i), own));
    if (series.n_series > 1)
      told.add(1);
  });
}

} // namespace eigenflow::lds
