// SPDX-License-Identifier: BSD-3-Clause
// Backward pass of Koopman and Durbin (2000, 2003) over single numbers, exact for diffuse starts:
// smoothed mean = m + P r0 + P_inf r1, covariance P - P N0 P - P_inf N1 P - (..)' - P_inf N2 P_inf.
#include "lds_filter.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <string>

namespace eigenflow::lds {
namespace {

// out += scale a b'.
void add_outer(index n, double scale, const double *a, const double *b, buffer &out) {
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      out[count(i * n + j)] += scale * a[i] * b[j];
}

void add(buffer &out, const buffer &a) {
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] += a[i];
}

class backward_pass {
public:
  backward_pass(const dense_model &system, const steady_filter &steady, bool want_cov)
      : system_(system), steady_(steady), want_cov_(want_cov), n_(system.n), r0_(count(n_), 0.0),
        r1_(r0_), N0_(count(n_ * n_), 0.0), N1_(N0_), N2_(N0_), work_(count(n_ * n_)),
        other_(count(n_ * n_)), row_(count(n_)) {
    if (!steady_.usable)
      return;
    // C' S^-1 C and C' S^-1, from the whitened rows.
    const index p = system.p;
    buffer white(count(p * n_));
    small::multiply(p, p, n_, steady.whiten.data(), system.C.data(), white.data());
    information_.resize(count(n_ * n_));
    small::multiply_left_transposed(n_, p, n_, white.data(), white.data(), information_.data());
    weights_.resize(count(n_ * p));
    small::multiply_left_transposed(n_, p, p, white.data(), steady.whiten.data(), weights_.data());
    if (want_cov_)
      limit_ = adjoint_sum(n_, steady.F, information_);
  }

  // One step back under the constant gain, from the innovation.
  void steady_step(const double *innovation) {
    small::apply_transposed(n_, n_, steady_.F.data(), r0_.data(), row_.data());
    for (index i = 0; i < n_; ++i)
      row_[count(i)] += small::dot(system_.p, weights_.data() + i * system_.p, innovation);
    std::swap(r0_, row_);
    if (!want_cov_ || settled_)
      return;
    congruence(steady_.F, N0_);
    add(N0_, information_);
    settled_ = near_limit();
    if (settled_)
      N0_ = limit_;
  }

  // One step back through a row of observed numbers. Before it, `state` is the prediction.
  void full_step(stepper &step, belief state, const observed_rows &rows, bool diffuse) {
    settled_ = false;
    transition(rows.transition(), diffuse);
    step.update(state, rows, &trace_);
    for (index i = rows.n_rows - 1; i >= 0; --i) {
      const scalar_update &u = trace_[count(i)];
      const double *z = rows.loadings.data() + i * n_;
      if (u.used && u.diffuse_variance > 0)
        absorb(u, z);
      else if (u.used)
        condition(u, z, diffuse);
    }
  }

  bool settled() const { return settled_; }

  void mean(const double *m, const buffer &P, const buffer &P_diffuse, double *out) {
    small::apply(n_, n_, P.data(), r0_.data(), out);
    for (index i = 0; i < n_; ++i)
      out[i] += m[i];
    if (P_diffuse.empty())
      return;
    small::apply(n_, n_, P_diffuse.data(), r1_.data(), row_.data());
    for (index i = 0; i < n_; ++i)
      out[i] += row_[count(i)];
  }

  buffer covariance(const buffer &P, const buffer &P_diffuse) {
    buffer out(P);
    subtract(P, N0_, P, out, false);
    if (!P_diffuse.empty()) {
      subtract(P_diffuse, N1_, P, out, true);
      subtract(P_diffuse, N2_, P_diffuse, out, false);
    }
    small::symmetrise(n_, out.data());
    // Rounding may leave a state that is known exactly with a variance below zero.
    for (index i = 0; i < n_; ++i)
      if (!(out[count(i * (n_ + 1))] > 0))
        for (index j = 0; j < n_; ++j)
          out[count(i * n_ + j)] = out[count(j * n_ + i)] = 0;
    return out;
  }

private:
  // out -= a N b, and its transpose.
  void subtract(const buffer &a, const buffer &N, const buffer &b, buffer &out, bool both) {
    small::multiply(n_, n_, n_, a.data(), N.data(), work_.data());
    small::multiply(n_, n_, n_, work_.data(), b.data(), other_.data());
    for (index i = 0; i < n_; ++i)
      for (index j = 0; j < n_; ++j) {
        out[count(i * n_ + j)] -= other_[count(i * n_ + j)];
        if (both)
          out[count(j * n_ + i)] -= other_[count(i * n_ + j)];
      }
  }

  // N <- a' N a.
  void congruence(const buffer &a, buffer &N) {
    small::multiply(n_, n_, n_, N.data(), a.data(), work_.data());
    small::multiply_left_transposed(n_, n_, n_, a.data(), work_.data(), N.data());
  }

  void transition(const buffer &A, bool diffuse) {
    small::apply_transposed(n_, n_, A.data(), r0_.data(), row_.data());
    std::swap(r0_, row_);
    if (want_cov_)
      congruence(A, N0_);
    if (!diffuse)
      return;
    small::apply_transposed(n_, n_, A.data(), r1_.data(), row_.data());
    std::swap(r1_, row_);
    if (want_cov_) {
      congruence(A, N1_);
      congruence(A, N2_);
    }
  }

  bool near_limit() const {
    for (index i = 0; i < n_; ++i)
      for (index j = 0; j < n_; ++j) {
        const double unit =
            std::sqrt(limit_[count(i * (n_ + 1))]) * std::sqrt(limit_[count(j * (n_ + 1))]);
        if (!(std::abs(N0_[count(i * n_ + j)] - limit_[count(i * n_ + j)]) <=
              steady_.tolerance * unit))
          return false;
      }
    return true;
  }

  // I - gain z'.
  buffer reduction(const buffer &covariance, double variance, const double *z) const {
    buffer out = small::identity(n_);
    for (index i = 0; i < n_; ++i)
      for (index j = 0; j < n_; ++j)
        out[count(i * n_ + j)] -= covariance[count(i)] / variance * z[j];
    return out;
  }

  void back(const buffer &L, buffer &r) {
    small::apply_transposed(n_, n_, L.data(), r.data(), row_.data());
    std::swap(r, row_);
  }

  void condition(const scalar_update &u, const double *z, bool diffuse) {
    const buffer L = reduction(u.covariance, u.variance, z);
    back(L, r0_);
    for (index i = 0; i < n_; ++i)
      r0_[count(i)] += z[i] * (u.innovation / u.variance);
    if (diffuse)
      back(L, r1_);
    if (!want_cov_)
      return;
    congruence(L, N0_);
    add_outer(n_, 1 / u.variance, z, z, N0_);
    if (diffuse) {
      congruence(L, N1_);
      congruence(L, N2_);
    }
  }

  void absorb(const scalar_update &u, const double *z) {
    const double big = u.diffuse_variance;
    const buffer L0 = reduction(u.diffuse_covariance, big, z);
    buffer slope(count(n_)); // L1 = -slope z'
    for (index i = 0; i < n_; ++i)
      slope[count(i)] =
          u.covariance[count(i)] / big - u.diffuse_covariance[count(i)] / big * (u.variance / big);
    const double along = small::dot(n_, slope.data(), r0_.data());
    back(L0, r1_);
    for (index i = 0; i < n_; ++i)
      r1_[count(i)] += z[i] * (u.innovation / big - along);
    back(L0, r0_);
    if (want_cov_)
      absorb_cov(L0, slope, z, big, u.variance);
  }

  void absorb_cov(const buffer &L0, const buffer &slope, const double *z, double big,
                  double finite) {
    buffer N0_slope(count(n_)), N1_slope(count(n_)), left(count(n_));
    small::apply(n_, n_, N0_.data(), slope.data(), N0_slope.data());
    small::apply(n_, n_, N1_.data(), slope.data(), N1_slope.data());
    const double quadratic = small::dot(n_, slope.data(), N0_slope.data());
    congruence(L0, N2_);
    add_outer(n_, quadratic - finite / big / big, z, z, N2_);
    small::apply_transposed(n_, n_, L0.data(), N1_slope.data(), left.data());
    add_outer(n_, -1, left.data(), z, N2_);
    add_outer(n_, -1, z, left.data(), N2_);
    congruence(L0, N1_);
    small::apply_transposed(n_, n_, L0.data(), N0_slope.data(), left.data());
    add_outer(n_, 1 / big, z, z, N1_);
    add_outer(n_, -1, z, left.data(), N1_);
    congruence(L0, N0_);
  }

  const dense_model &system_;
  const steady_filter &steady_;
  bool want_cov_, settled_ = false;
  index n_;
  buffer r0_, r1_, N0_, N1_, N2_, work_, other_, row_;
  buffer information_, weights_, limit_;
  std::vector<scalar_update> trace_;
};

buffer diffuse_part(index n, const belief &state) {
  buffer out(count(n * n));
  small::multiply_right_transposed(n, state.n_diffuse, n, state.diffuse.data(),
                                   state.diffuse.data(), out.data());
  return out;
}

struct forward_run {
  buffer means, innovations;
  filter_result filtered;
  filter_trace trace;
};

forward_run run_forward(model_cursor &s, const steady_filter &steady, const belief &start,
                        matrix_view<const double> y, const smoother_options &options) {
  forward_run f;
  f.means.resize(count(y.rows * s.now().n));
  f.innovations.resize(count(y.rows * s.now().p));
  filter_outputs out;
  out.predicted_mean = row_major(f.means.data(), y.rows, s.now().n);
  out.innovations = row_major(f.innovations.data(), y.rows, s.now().p);
  filter_options forward;
  forward.store_predicted_cov = true;
  forward.switch_to_steady = options.switch_to_steady;
  forward.form = options.form;
  forward.check_finite = options.check_finite;
  forward.workers = options.workers;
  f.filtered = filter(s, steady, start, y, out, forward, &f.trace);
  return f;
}

// What the forward run knew before step t.
struct prediction {
  bool diffuse, constant;
  const double *mean;
  belief state;     // left empty under the constant gain
  buffer P_diffuse; // empty without diffuse directions
};

prediction prediction_at(const dense_model &s, const forward_run &f, index t) {
  const index n = s.n;
  prediction out{
      t < f.filtered.n_diffuse, f.trace.steady[count(t)] != 0, f.means.data() + t * n, {}, {}};
  if (out.constant)
    return out;
  const covariance_sequence &cov = f.filtered.predicted_cov;
  const double *P = cov.values.data() + cov.index[count(t)] * n * n;
  if (out.diffuse)
    out.state = f.trace.diffuse_steps[count(t)];
  out.state.mean.assign(out.mean, out.mean + n);
  out.state.cov.assign(P, P + n * n);
  if (out.diffuse)
    out.P_diffuse = diffuse_part(n, out.state);
  return out;
}

// Covariances arrive last step first; those of settled steps are one value.
class covariance_store {
public:
  covariance_store(bool wanted, index n_steps, covariance_sequence &out) : out_(out) {
    out_.index.resize(count(wanted ? n_steps : 0));
  }

  void put(index t, backward_pass &pass, bool settled, const buffer &P, const buffer &P_diffuse) {
    std::int32_t place = settled ? interior_ : -1;
    if (place < 0) {
      const buffer V = pass.covariance(P, P_diffuse);
      const std::size_t n_values = out_.values.size() / V.size();
      require(n_values < 0x7fffffff, "y: too many distinct covariances, want store without them");
      place = static_cast<std::int32_t>(n_values);
      out_.values.insert(out_.values.end(), V.begin(), V.end());
      if (settled)
        interior_ = place;
    }
    out_.index[count(t)] = place;
  }

private:
  covariance_sequence &out_;
  std::int32_t interior_ = -1;
};

void check_row_range(const buffer &row, index t) {
  for (const double x : row)
    if (!std::isfinite(x))
      throw argument_error("system: got a smoothed state that leaves the range of double at step " +
                           std::to_string(t) + ", want other units");
}

void write_mean(matrix_view<double> out, index t, const buffer &row) {
  for (index i = 0; i < out.cols; ++i)
    out(t, i) = row[count(i)];
}

// Steps back through the series; fills the means and covariances.
void run_backward(model_cursor &cursor, const steady_filter &steady, matrix_view<const double> y,
                  const forward_run &f, const smoother_options &options,
                  matrix_view<double> smoothed_mean, covariance_sequence &covs) {
  const dense_model &s = cursor.now();
  backward_pass pass(s, steady, options.store_cov);
  stepper step(s, update_form::joseph);
  observed_rows rows(s);
  covariance_store store(options.store_cov, y.rows, covs);
  buffer row(count(s.n));
  interrupt_poll poll;
  for (index t = y.rows - 1; t >= 0; --t) {
    const prediction before = prediction_at(s, f, t);
    if (!before.constant || t % 64 == 0)
      poll();
    const buffer &P = before.constant ? steady.P : before.state.cov;
    if (before.constant) {
      pass.steady_step(f.innovations.data() + t * s.p);
    } else {
      cursor.seek(t);
      rows.read(y.row(t));
      pass.full_step(step, before.state, rows, before.diffuse);
    }
    if (smoothed_mean.rows > 0) {
      pass.mean(before.mean, P, before.P_diffuse, row.data());
      if (options.check_finite)
        check_row_range(row, t);
      write_mean(smoothed_mean, t, row);
    }
    if (options.store_cov)
      store.put(t, pass, before.constant && pass.settled(), P, before.P_diffuse);
  }
}

} // namespace

smoother_result smooth(const model &system, const belief &start, const observations &series,
                       matrix_view<double> smoothed_mean, const smoother_options &options) {
  model_cursor s(system, series.inputs);
  const matrix_view<const double> y = series.y;
  require(smoothed_mean.rows == 0 ||
              (smoothed_mean.rows == y.rows && smoothed_mean.cols == s.now().n),
          "smoothed_mean: want one row for each row of y, or none");
  const steady_filter steady = steady_for(s, y.rows, options.switch_to_steady);
  const forward_run f = run_forward(s, steady, start, y, options);
  smoother_result result;
  run_backward(s, steady, y, f, options, smoothed_mean, result.smoothed_cov);
  result.log_likelihood = f.filtered.log_likelihood;
  result.n_diffuse = f.filtered.n_diffuse;
  result.steady_from = f.filtered.steady_from;
  return result;
}

} // namespace eigenflow::lds
