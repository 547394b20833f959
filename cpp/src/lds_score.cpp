// SPDX-License-Identifier: BSD-3-Clause
// Backward: the cumulants r and N of the smoother, from which every derivative is a sum of outer
// products. With g = [r; u], the mean of what the noises [w; v] weigh, the derivative in their
// joint covariance is that of g g' minus its own variance [N, -N K; -K'N, F^-1 + K'N K].
#include "lds_batch.hpp"
#include "lds_score_forward.hpp"

#include <eigenflow/lds_score.hpp>

namespace eigenflow::lds {
namespace {

using namespace scoring;

// A derivative, one for each step or summed; `values` get it times `scale`.
class total {
public:
  total(std::vector<double> &values, index rows, index cols, index time_stride, index n_steps,
        double scale = 1.0)
      : sum(rows, cols), values_(values), varies_(time_stride != 0 && rows * cols > 0),
        scale_(scale) {
    values.assign(count(varies_ ? rows * cols * n_steps : rows * cols), 0.0);
  }
  bool wanted() const { return sum.rows() > 0; }
  bool varies() const { return varies_; }
  // All of step t, or of all steps, is in the sum.
  void close_step(index t) {
    if (!varies_)
      return;
    write(t);
    sum.clear();
  }
  void finish() {
    if (!varies_)
      write(0);
  }

  row_matrix sum;

private:
  void write(index t) {
    double *to = values_.data() + t * sum.rows() * sum.cols();
    for (index i = 0; i < sum.rows(); ++i)
      for (index j = 0; j < sum.cols(); ++j)
        *to++ = scale_ * sum(i, j);
  }
  std::vector<double> &values_;
  bool varies_;
  double scale_;
};

// r and u have a row for the mean and for each diffuse direction. N is kept negated: the products
// only add.
class backward_pass {
public:
  backward_pass(const forward_pass &forward, const model &system, bool moments)
      : f(forward), n(f.n), p(f.p), moments_(moments), m_in(f.cursor.inputs().cols),
        A_(out.transition, n, n, system.step.transition, f.n_steps),
        C_(out.observation, p, n, system.step.observation, f.n_steps),
        Q_(out.state_noise, n, n, system.step.state_noise, f.n_steps, 0.5),
        R_(out.obs_noise, p, p, system.step.obs_noise, f.n_steps, 0.5),
        S_(out.cross_noise, f.now.S.empty() ? 0 : n, p, system.step.cross_noise, f.n_steps),
        c_(out.state_offset, 1, n, system.step.state_offset, f.n_steps),
        d_(out.obs_offset, 1, p, system.step.obs_offset, f.n_steps),
        B_(out.state_input, system.state_input.rows > 0 ? n : 0, m_in, system.step.state_input,
           f.n_steps),
        D_in_(out.obs_input, system.obs_input.rows > 0 ? p : 0, m_in, system.step.obs_input,
              f.n_steps),
        varies_(A_.varies() || C_.varies() || Q_.varies() || R_.varies() || S_.varies()), r_(1, n),
        minus_N_(n, n), mixing_(1, 1), moment_(moments ? n : 0, n), last_(moments ? n : 0, n),
        units_(count(n)) {
    mixing_(0, 0) = 1.0;
  }

  // False where rounding leaves nothing of what the rows before the diffuse columns joined the
  // covariance say of them.
  bool run(const belief &start, half_steps &told) {
    interrupt_poll poll;
    for (index t = f.n_steps - 1; t >= 0; --t) {
      if (t % f.steps_between_polls == 0) {
        poll();
        told.done(2 * f.n_steps - t);
      }
      if (f.width_at(t) != r_.rows() && !part_columns())
        return false;
      step(t);
    }
    flush();
    finish(start);
    return true;
  }

  score_result out;

private:
  void step(index t) {
    const std::int32_t place = f.at[count(t)];
    const gain_slot &s = f.slots[count(place)];
    const bool again = settled_ && place == place_;
    if (!again) {
      flush();
      open(s, place);
    }
    means(t, s);
    gather(t, s);
    if (again && !varies_)
      ++pending_;
    else
      add_constants(s, 1);
    for (total *each : {&A_, &C_, &Q_, &R_, &S_, &c_, &d_, &B_, &D_in_})
      each->close_step(t);
    std::swap(r_, before_);
    if (again)
      return;
    settled_ = close(minus_N_, minus_N_before_, units_);
    std::swap(minus_N_, minus_N_before_);
  }

  // The steps before have diffuse columns. With the state m + G z + .., z ~ N(0, I), all rows give
  // z the mean G'r and the variance V = I - G'N G; given z, N becomes N + N G V^-1 G'N, and r moves
  // by minus that times G z. The columns are those of z = G'r + U zeta, V = U U'.
  bool part_columns() {
    flush();
    settled_ = false;
    const index k = f.k;
    const diffuse_posterior &law = f.posterior;
    const row_matrix G(n, k, law.spread.data());
    row_matrix minus_NG(n, k), variance(k, k);
    add_product(minus_N_, G, minus_NG);
    add_left_transposed(G, minus_NG, variance);
    buffer V = small::identity(k), white(count(k * k));
    for (index i = 0; i < k; ++i)
      for (index j = 0; j < k; ++j)
        V[count(i * k + j)] += variance(i, j);
    small::symmetrise(k, V.data());
    constexpr double least = 1e-5; // of the square root of a pivot
    double unused = 0;
    if (!small::inverse_cholesky(k, V.data(), white.data(), unused))
      return false;
    for (index i = 0; i < k; ++i)
      if (!(white[count(i * (k + 1))] * least <= 1))
        return false;
    // V^-1 = W'W, so that U = V W' and N G + N G V^-1 G'N G = N G V^-1.
    row_matrix W_turned, minus_NGW(n, k), NGW_turned, columns;
    transpose(row_matrix(k, k, white.data()), W_turned);
    add_product(minus_NG, W_turned, minus_NGW);
    transpose(minus_NGW, columns);
    negate(columns, NGW_turned);
    add_left_transposed(NGW_turned, columns, minus_N_);
    buffer z(count(k)), U(count(k * k));
    small::apply_transposed(n, k, law.spread.data(), r_.row(0), z.data());
    small::multiply_right_transposed(k, k, k, V.data(), white.data(), U.data());
    // N given z times G U is N G V^-1 V W'.
    row_matrix wide(1 + k, n);
    std::copy_n(r_.row(0), n, wide.row(0));
    for (index j = 0; j < k; ++j)
      std::copy_n(columns.row(j), n, wide.row(1 + j));
    r_ = std::move(wide);
    mix_columns(law, z, U);
    return true;
  }

  void mix_columns(const diffuse_posterior &law, const buffer &z, const buffer &U) {
    const index k = f.k;
    mixing_.reset(1 + k, 1 + k);
    mixing_(0, 0) = 1.0;
    for (index i = 0; i < k; ++i) {
      double *row = mixing_.row(1 + i);
      row[0] = law.coefficients[count(i)];
      for (index l = 0; l < k; ++l) {
        row[0] += law.root[count(l * k + i)] * z[count(l)];
        for (index j = 0; j < k; ++j)
          row[1 + j] += law.root[count(l * k + i)] * U[count(l * k + j)];
      }
    }
  }

  // x = E x_t, u = F^-1 v - K'r and r before the step, for the mean and the diffuse columns.
  void means(index t, const gain_slot &s) {
    const index w = r_.rows(), m = s.C.rows;
    mix(f.error(t), p, m, u_);
    before_.reset(w, n);
    add_product(u_, s.C, before_);
    add_product(r_, L_, before_);
    for (index j = 0; j < w; ++j)
      for (index i = 0; i < m; ++i)
        u_(j, i) -= small::dot(n, s.K.row(i), r_.row(j));
    mix(f.state(t), n, n, x_);
    add_product(before_, s.P, x_);
  }

  // The first `cols` numbers of the rows of a step, for the posterior of the diffuse coefficients.
  void mix(const double *rows, index stride, index cols, row_matrix &to) {
    const index w = r_.rows();
    row_matrix &kept = w == 1 ? to : kept_;
    kept.reset(w, cols);
    for (index j = 0; j < w; ++j)
      std::copy_n(rows + j * stride, cols, kept.row(j));
    if (w == 1)
      return;
    to.reset(w, cols);
    add_left_transposed(mixing_, kept_, to);
  }

  // The terms that do not depend on the data.
  void open(const gain_slot &s, std::int32_t place) {
    const index m = s.C.rows;
    settled_ = false;
    place_ = place;
    negate(s.K, minus_K_);
    set_closed_loop(s.A, minus_K_, s.C, L_);
    minus_NL_.reset(n, n);
    add_product(minus_N_, L_, minus_NL_);
    minus_NLP_.reset(n, n);
    add_product(minus_NL_, s.P, minus_NLP_);
    negate(s.precision, minus_D_);
    FC_.reset(m, n); // - F^-1 C
    add_product(minus_D_, s.C, FC_);
    minus_N_before_.reset(n, n);
    add_left_transposed(s.C, FC_, minus_N_before_);
    add_left_transposed(L_, minus_NL_, minus_N_before_);
    symmetrise(minus_N_before_);
    KN_.reset(m, n); // - K'N
    add_product(s.K, minus_N_, KN_);
    for (index i = 0; i < m; ++i)
      for (index j = 0; j < m; ++j)
        minus_D_(i, j) += small::dot(n, KN_.row(i), s.K.row(j));
    symmetrise(minus_D_);
    add_product(minus_K_, minus_NL_, FC_); // K'N L - F^-1 C
    PC_.reset(m, n);
    add_product(FC_, s.P, PC_);
    if (!moments_)
      return;
    smoothed_.reset(n, n);
    add(1.0, s.P, smoothed_);
    half_.reset(n, n);
    add_product(minus_N_before_, s.P, half_);
    add_product(s.P, half_, smoothed_);
    symmetrise(smoothed_);
  }

  void gather(index t, const gain_slot &s) {
    const index w = r_.rows(), m = s.C.rows;
    add_left_transposed(r_, x_, A_.sum);
    add_left_transposed(r_, r_, Q_.sum);
    if (moments_)
      add_left_transposed(x_, x_, moment_);
    for (index i = 0; i < n; ++i)
      c_.sum(0, i) += r_(0, i);
    for (index i = 0; i < m; ++i) {
      const index row = s.rows[count(i)];
      d_.sum(0, row) += u_(0, i);
      add_left_transposed_row(i, u_, x_, row, C_.sum);
      for (index l = 0; l < w; ++l) {
        for (index j = 0; j < m; ++j)
          R_.sum(row, s.rows[count(j)]) += u_(l, i) * u_(l, j);
        for (index j = 0; j < n && S_.wanted(); ++j)
          S_.sum(j, row) += r_(l, j) * u_(l, i);
      }
      for (index j = 0; j < m_in && D_in_.wanted(); ++j)
        D_in_.sum(row, j) += u_(0, i) * f.cursor.inputs()(t, j);
    }
    for (index i = 0; i < n && B_.wanted(); ++i)
      for (index j = 0; j < m_in; ++j)
        B_.sum(i, j) += r_(0, i) * f.cursor.inputs()(t, j);
    if (moments_ && t + 1 == f.n_steps) {
      last_ = smoothed_;
      add_left_transposed(x_, x_, last_);
    }
  }

  void add_constants(const gain_slot &s, double times) {
    const index m = s.C.rows;
    add(times, minus_NLP_, A_.sum);
    add(times, minus_N_, Q_.sum);
    if (moments_)
      add(times, smoothed_, moment_);
    for (index i = 0; i < m; ++i) {
      const index row = s.rows[count(i)];
      for (index j = 0; j < n; ++j) {
        C_.sum(row, j) += times * PC_(i, j);
        if (S_.wanted())
          S_.sum(j, row) -= times * KN_(i, j);
      }
      for (index j = 0; j < m; ++j)
        R_.sum(row, s.rows[count(j)]) += times * minus_D_(i, j);
    }
  }

  // What settled steps have in common, for all of them at once: nothing then has its own time.
  void flush() {
    if (pending_ > 0)
      add_constants(f.slots[count(place_)], static_cast<double>(pending_));
    pending_ = 0;
  }

  void finish(const belief &start) {
    const index k = f.k;
    for (total *each : {&A_, &C_, &Q_, &R_, &S_, &c_, &d_, &B_, &D_in_})
      each->finish();
    out.log_likelihood = 0.0 - 0.5 * f.minus_twice; // never -0
    out.n_observed = f.n_observed;
    out.mean.assign(r_.row(0), r_.row(0) + n);
    row_matrix cov = minus_N_;
    add_left_transposed(r_, r_, cov);
    unpack(0.5, cov, out.cov);
    buffer spread(count(n * k));
    small::multiply(n, n, k, out.cov.data(), start.diffuse.data(), spread.data());
    out.diffuse.assign(count(n * k), 0.0);
    for (index i = 0; i < n; ++i)
      for (index j = 0; j < k; ++j) {
        double &value = out.diffuse[count(i * k + j)];
        for (index l = 0; l < r_.rows(); ++l)
          value += r_(l, i) * mixing_(1 + j, l);
        value += 2 * f.diffuse_spread * spread[count(i * k + j)];
      }
    unpack(1.0, moment_, out.second_moment);
    unpack(1.0, last_, out.last_moment);
  }

  static void unpack(double scale, const row_matrix &from, std::vector<double> &to) {
    to.clear();
    for (index i = 0; i < from.rows(); ++i)
      for (index j = 0; j < from.cols(); ++j)
        to.push_back(scale * from(i, j));
  }

  const forward_pass &f;
  index n, p;
  bool moments_;
  index m_in;
  total A_, C_, Q_, R_, S_, c_, d_, B_, D_in_;
  bool varies_;
  row_matrix r_, minus_N_;
  row_matrix mixing_; // columns for the posterior of the diffuse coefficients
  row_matrix moment_, last_;
  row_matrix kept_, u_, x_, before_;
  row_matrix L_, minus_NL_, minus_NLP_, minus_D_, FC_, PC_, KN_, minus_K_, minus_N_before_,
      smoothed_, half_;
  buffer units_;
  std::int32_t place_ = -1;
  index pending_ = 0; // settled steps whose constants are still to be added
  bool settled_ = false;
};

} // namespace

score_result score(const model &system, const belief &start, const observations &series,
                   bool moments, const progress_hook &progress) {
  require(series.y.cols == system.observation.rows,
          "y: want as many columns as the system has outputs");
  require(series.inputs.rows == 0 || series.inputs.rows == series.y.rows,
          "inputs: want one row for each of y");
  const auto n = count(system.transition.rows), k = count(start.n_diffuse);
  require(start.mean.size() == n && start.cov.size() == n * n && start.diffuse.size() == n * k,
          "start: want mean (n), cov (n x n), diffuse (n x n_diffuse)");
  half_steps told(progress);
  for (const bool early : {true, false}) {
    forward_pass forward(system, start, series);
    forward.run(early, told);
    backward_pass backward(forward, system, moments);
    if (backward.run(start, told))
      return std::move(backward.out);
  }
  throw argument_error("y: got too few observations to determine the diffuse start");
}

void score(const score_batch &series, int workers, bool moments) {
  if (series.n_series <= 0)
    return;
  const index n_steps = series.at(0).series.y.rows;
  batch_progress told(series.progress, series.n_series, n_steps);
  const progress_hook own = series.n_series == 1 ? series.progress : progress_hook{};
  for_each_series(0, series.n_series, n_steps, workers, [&](index i, int) {
    const problem one = series.at(i);
    series.done(i, score(one.system, one.start, one.series, moments, own));
    if (!own)
      told.add(1);
  });
}

} // namespace eigenflow::lds
