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

// A derivative, one for each step or summed.
class total {
public:
  total(std::vector<double> &values, index size, index time_stride, index n_steps)
      : values_(values), stride_(time_stride != 0 ? size : 0) {
    values.assign(count(time_stride != 0 ? size * n_steps : size), 0.0);
  }
  double *at(index t) { return values_.data() + t * stride_; }
  bool varies() const { return stride_ != 0; }

private:
  std::vector<double> &values_;
  index stride_;
};

class backward_pass {
public:
  backward_pass(const forward_pass &forward, const model &system, bool moments)
      : f(forward), n(f.n), moments_(moments), m_in(f.cursor.inputs().cols),
        A_(out.transition, n * n, system.step.transition, f.n_steps),
        C_(out.observation, f.p * n, system.step.observation, f.n_steps),
        Q_(out.state_noise, n * n, system.step.state_noise, f.n_steps),
        R_(out.obs_noise, f.p * f.p, system.step.obs_noise, f.n_steps),
        S_(out.cross_noise, f.now.S.empty() ? 0 : n * f.p, system.step.cross_noise, f.n_steps),
        c_(out.state_offset, n, system.step.state_offset, f.n_steps),
        d_(out.obs_offset, f.p, system.step.obs_offset, f.n_steps),
        B_(out.state_input, system.state_input.rows > 0 ? n * m_in : 0, system.step.state_input,
           f.n_steps),
        D_in_(out.obs_input, system.obs_input.rows > 0 ? f.p * m_in : 0, system.step.obs_input,
              f.n_steps),
        varies_(A_.varies() || C_.varies() || Q_.varies() || R_.varies() || S_.varies()),
        r_(count(n), 0.0), N_(count(n * n), 0.0), mixing_(1, 1.0) {
    out.second_moment.assign(count(moments ? n * n : 0), 0.0);
    out.last_moment = out.second_moment;
  }

  // False where rounding leaves nothing of what the rows before the diffuse columns joined the
  // covariance say of them.
  bool run(const belief &start) {
    interrupt_poll poll;
    for (index t = f.n_steps - 1; t >= 0; --t) {
      if ((t & 63) == 0)
        poll();
      if (f.width_at(t) != w && !part_columns())
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
    const auto m = static_cast<index>(s.rows.size());
    const bool again = settled_ && place == place_;
    if (!again) {
      flush();
      open(s, place);
    }
    moments(t, s, m);
    gather(t, s, m);
    if (again && !varies_)
      ++pending_;
    else
      add_constants(t, s, 1);
    std::swap(r_, before_);
    std::swap(N_, N_before_);
    settled_ = settled_ || close(n, N_, N_before_);
    if (settled_)
      N_before_ = N_;
  }

  // The steps before have diffuse columns. With the state m + G z + .., z ~ N(0, I), all rows give
  // z the mean G'r and the variance V = I - G'N G; given z, N becomes N + N G V^-1 G'N, and r moves
  // by minus that times G z. The columns are those of z = G'r + U zeta, V = U U'.
  bool part_columns() {
    flush();
    settled_ = false;
    const index k = f.k;
    const diffuse_posterior &law = f.posterior;
    buffer NG(count(n * k)), V = small::identity(k), white(count(k * k)), NGW(count(n * k));
    small::multiply(n, n, k, N_.data(), law.spread.data(), NG.data());
    buffer seen(count(k * k));
    small::multiply_left_transposed(k, n, k, law.spread.data(), NG.data(), seen.data());
    add(-1.0, seen, V.data());
    small::symmetrise(k, V.data());
    constexpr double least = 1e-5; // of the square root of a pivot
    double unused = 0;
    if (!small::inverse_cholesky(k, V.data(), white.data(), unused))
      return false;
    for (index i = 0; i < k; ++i)
      if (!(white[count(i * (k + 1))] * least <= 1))
        return false;
    // V^-1 = W'W, so that U = V W' and N G + N G V^-1 G'N G = N G V^-1.
    small::multiply_right_transposed(n, k, k, NG.data(), white.data(), NGW.data());
    add_product(n, n, k, 1.0, NGW.data(), NGW.data(), N_.data());
    buffer z(count(k)), U(count(k * k)), wide(count(n * (1 + k)));
    small::apply_transposed(n, k, law.spread.data(), r_.data(), z.data());
    small::multiply_right_transposed(k, k, k, V.data(), white.data(), U.data());
    // N given z times G U is N G V^-1 V W'.
    w = 1 + k;
    for (index i = 0; i < n; ++i) {
      wide[count(i * w)] = r_[count(i)];
      for (index j = 0; j < k; ++j)
        wide[count(i * w + 1 + j)] = -NGW[count(i * k + j)];
    }
    r_ = std::move(wide);
    mix_columns(law, z, U);
    return true;
  }

  void mix_columns(const diffuse_posterior &law, const buffer &z, const buffer &U) {
    const index k = f.k;
    mixing_.assign(count(w * w), 0.0);
    mixing_[0] = 1.0;
    for (index i = 0; i < k; ++i) {
      double *row = mixing_.data() + (1 + i) * w;
      row[0] = law.coefficients[count(i)];
      for (index l = 0; l < k; ++l) {
        row[0] += law.root[count(l * k + i)] * z[count(l)];
        for (index j = 0; j < k; ++j)
          row[1 + j] += law.root[count(l * k + i)] * U[count(l * k + j)];
      }
    }
  }

  // x = E x_t, u = F^-1 v - K'r and r before the step, for the mean and the diffuse columns.
  void moments(index t, const gain_slot &s, index m) {
    e_.resize(count(m * w));
    u_.resize(count(m * w));
    x_.resize(count(n * w));
    before_.resize(count(n * w));
    work_.resize(count(n * w));
    mix(m, f.error(t), e_);
    small::multiply_left_transposed(m, n, w, s.K.data(), r_.data(), u_.data());
    for (std::size_t i = 0; i < u_.size(); ++i)
      u_[i] = e_[i] - u_[i];
    small::multiply_left_transposed(n, m, w, s.C.data(), e_.data(), before_.data());
    small::multiply_left_transposed(n, n, w, s.L.data(), r_.data(), work_.data());
    add(1.0, work_, before_.data());
    mix(n, f.state(t), x_);
    small::multiply(n, n, w, s.P.data(), before_.data(), work_.data());
    add(1.0, work_, x_.data());
  }

  void mix(index rows, const double *columns, buffer &to) const {
    if (w == 1)
      std::copy_n(columns, rows, to.data());
    else
      small::multiply(rows, w, w, columns, mixing_.data(), to.data());
  }

  // The terms that do not depend on the data.
  void open(const gain_slot &s, std::int32_t place) {
    const auto m = static_cast<index>(s.rows.size());
    settled_ = false;
    place_ = place;
    NLP_.resize(count(n * n));
    D_ = s.precision;
    PC_.resize(count(m * n));
    NK_.resize(count(n * m));
    N_before_.assign(count(n * n), 0.0);
    buffer square(count(n * n)), mm(count(m * m)), mn(count(m * n)), CP(mn);
    small::multiply(n, n, n, N_.data(), s.L.data(), square.data());
    small::multiply(n, n, n, square.data(), s.P.data(), NLP_.data());
    small::multiply_left_transposed(n, n, n, s.L.data(), square.data(), N_before_.data());
    small::multiply(n, n, m, N_.data(), s.K.data(), NK_.data());
    small::multiply_left_transposed(m, n, m, s.K.data(), NK_.data(), mm.data());
    add(1.0, mm, D_.data());
    small::multiply(m, m, n, s.precision.data(), s.C.data(), mn.data());
    small::multiply_left_transposed(n, m, n, s.C.data(), mn.data(), square.data());
    add(1.0, square, N_before_.data());
    small::symmetrise(n, N_before_.data());
    small::multiply(m, n, n, mn.data(), s.P.data(), PC_.data());
    small::multiply_left_transposed(m, n, n, s.K.data(), NLP_.data(), CP.data());
    add(-1.0, CP, PC_.data());
    if (!moments_)
      return;
    smoothed_ = s.P;
    buffer half(count(n * n));
    small::congruence(n, n, s.P.data(), N_before_.data(), nullptr, square.data(), half.data());
    add(-1.0, square, smoothed_.data());
  }

  void gather(index t, const gain_slot &s, index m) {
    add_product(n, n, w, 1.0, r_.data(), x_.data(), A_.at(t));
    add_product(n, n, w, 0.5, r_.data(), r_.data(), Q_.at(t));
    if (moments_)
      add_product(n, n, w, 1.0, x_.data(), x_.data(), out.second_moment.data());
    for (index i = 0; i < n; ++i)
      c_.at(t)[i] += r_[count(i * w)];
    for (index i = 0; i < m; ++i) {
      const index row = s.rows[count(i)];
      const double *u = u_.data() + i * w;
      d_.at(t)[row] += u[0];
      add_product(1, n, w, 1.0, u, x_.data(), C_.at(t) + row * n);
      for (index j = 0; j < m; ++j)
        R_.at(t)[row * f.p + s.rows[count(j)]] += 0.5 * small::dot(w, u, u_.data() + j * w);
      for (index j = 0; j < n && !out.cross_noise.empty(); ++j)
        S_.at(t)[j * f.p + row] += small::dot(w, r_.data() + j * w, u);
      for (index j = 0; j < m_in && !out.obs_input.empty(); ++j)
        D_in_.at(t)[row * m_in + j] += u[0] * f.cursor.inputs()(t, j);
    }
    for (index i = 0; i < n && !out.state_input.empty(); ++i)
      for (index j = 0; j < m_in; ++j)
        B_.at(t)[i * m_in + j] += r_[count(i * w)] * f.cursor.inputs()(t, j);
    if (moments_ && t + 1 == f.n_steps) {
      out.last_moment = smoothed_;
      add_product(n, n, w, 1.0, x_.data(), x_.data(), out.last_moment.data());
    }
  }

  void add_constants(index t, const gain_slot &s, double times) {
    const auto m = static_cast<index>(s.rows.size());
    add(-times, NLP_, A_.at(t));
    add(-0.5 * times, N_, Q_.at(t));
    if (moments_)
      add(times, smoothed_, out.second_moment.data());
    for (index i = 0; i < m; ++i) {
      const index row = s.rows[count(i)];
      for (index j = 0; j < n; ++j) {
        C_.at(t)[row * n + j] -= times * PC_[count(i * n + j)];
        if (!out.cross_noise.empty())
          S_.at(t)[j * f.p + row] += times * NK_[count(j * m + i)];
      }
      for (index j = 0; j < m; ++j)
        R_.at(t)[row * f.p + s.rows[count(j)]] -= 0.5 * times * D_[count(i * m + j)];
    }
  }

  // What settled steps have in common, for all of them at once: nothing then has its own time.
  void flush() {
    if (pending_ > 0)
      add_constants(0, f.slots[count(place_)], static_cast<double>(pending_));
    pending_ = 0;
  }

  void finish(const belief &start) {
    const index k = f.k;
    out.log_likelihood = -0.5 * f.minus_twice;
    out.n_observed = f.n_observed;
    out.mean.resize(count(n));
    for (index i = 0; i < n; ++i)
      out.mean[count(i)] = r_[count(i * w)];
    out.cov.assign(count(n * n), 0.0);
    add_product(n, n, w, 0.5, r_.data(), r_.data(), out.cov.data());
    add(-0.5, N_, out.cov.data());
    out.diffuse.assign(count(n * k), 0.0);
    add_product(n, k, w, 1.0, r_.data(), mixing_.data() + w, out.diffuse.data());
    buffer spread(count(n * k));
    small::multiply(n, n, k, out.cov.data(), start.diffuse.data(), spread.data());
    add(2 * f.diffuse_spread, spread, out.diffuse.data());
  }

  const forward_pass &f;
  index n, w = 1; // columns of r
  bool moments_;
  index m_in;
  total A_, C_, Q_, R_, S_, c_, d_, B_, D_in_;
  bool varies_;
  buffer r_, N_;
  buffer mixing_; // w x w: columns for the posterior of the diffuse coefficients
  buffer e_, u_, x_, before_, work_;
  buffer NLP_, D_, PC_, NK_, N_before_, smoothed_;
  std::int32_t place_ = -1;
  index pending_ = 0; // settled steps whose constants are still to be added
  bool settled_ = false;
};

} // namespace

score_result score(const model &system, const belief &start, const observations &series,
                   bool moments) {
  require(series.y.cols == system.observation.rows,
          "y: want as many columns as the system has outputs");
  require(series.inputs.rows == 0 || series.inputs.rows == series.y.rows,
          "inputs: want one row for each of y");
  const auto n = count(system.transition.rows), k = count(start.n_diffuse);
  require(start.mean.size() == n && start.cov.size() == n * n && start.diffuse.size() == n * k,
          "start: want mean (n), cov (n x n), diffuse (n x n_diffuse)");
  for (const bool early : {true, false}) {
    forward_pass forward(system, start, series);
    forward.run(early);
    backward_pass backward(forward, system, moments);
    if (backward.run(start))
      return std::move(backward.out);
  }
  throw argument_error("y: got too few observations to determine the diffuse start");
}

void score(const score_batch &series, int workers, bool moments) {
  if (series.n_series <= 0)
    return;
  const index n_steps = series.at(0).series.y.rows;
  for_each_series(0, series.n_series, n_steps, workers, [&](index i, int) {
    const problem one = series.at(i);
    series.done(i, score(one.system, one.start, one.series, moments));
  });
}

} // namespace eigenflow::lds
