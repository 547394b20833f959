// SPDX-License-Identifier: BSD-3-Clause
// Forward: a filter whose means carry one more column for each diffuse direction. Backward: the
// cumulants r and N of the smoother, from which every derivative is a sum of outer products.
#include <eigenflow/lds_score.hpp>

#include "small_matrix.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <cstdint>
#include <string>

namespace eigenflow::lds {
namespace {

using small::buffer;
using small::count;

constexpr double steady_rtol = 8 * 2.3e-16;
constexpr double log_two_pi = 1.8378770664093454836;

// What the covariance recursion did at one step; steps with the same one share it.
struct gain_slot {
  std::vector<index> rows; // which numbers were observed
  buffer C;                // their loadings, m x n
  buffer P;                // predicted covariance
  buffer K;                // A P C' F^-1, n x m
  buffer L;                // A - K C
  buffer precision;        // F^-1
  double log_det = 0;      // of F
};

// out += scale a b', a is m x k and b is n x k.
void add_product(index m, index n, index k, double scale, const double *a, const double *b,
                 buffer &out) {
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < n; ++j)
      out[count(i * n + j)] += scale * small::dot(k, a + i * k, b + j * k);
}

void add(double scale, const buffer &a, buffer &out) {
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] += scale * a[i];
}

// Whether two covariances agree to rounding in units of their own standard deviations.
bool close(index n, const buffer &a, const buffer &b) {
  for (index i = 0; i < n; ++i)
    for (index j = 0; j <= i; ++j) {
      const double unit =
          std::sqrt(std::abs(a[count(i * (n + 1))])) * std::sqrt(std::abs(a[count(j * (n + 1))]));
      if (!(std::abs(a[count(i * n + j)] - b[count(i * n + j)]) <= steady_rtol * unit))
        return false;
    }
  return true;
}

class forward_pass {
public:
  forward_pass(const model &system, const belief &start, matrix_view<const double> y)
      : n(system.transition.rows), p(system.observation.rows), k(start.n_diffuse), width(1 + k),
        A(small::packed(system.transition)), C(small::packed(system.observation)),
        Q(small::packed(system.state_noise)), R(small::packed(system.obs_noise)),
        c(small::packed(system.state_offset, n)), d(small::packed(system.obs_offset, p)),
        information(count(k * k), 0.0), right(count(k), 0.0), y_(y), P_(start.cov) {
    states.assign(count(n * width), 0.0);
    for (index i = 0; i < n; ++i) {
      states[count(i * width)] = start.mean[count(i)];
      for (index j = 0; j < k; ++j)
        states[count(i * width + 1 + j)] = start.diffuse[count(i * k + j)];
    }
    spread_diffuse(start);
  }

  void run() {
    interrupt_poll poll;
    states.reserve(count(n * width * (y_.rows + 1)));
    errors.reserve(count(p * width * y_.rows));
    for (index t = 0; t < y_.rows; ++t) {
      if ((t & 255) == 0)
        poll();
      step(t);
    }
    integrate_diffuse();
  }

  index n, p, k, width;
  buffer A, C, Q, R, c, d;
  std::vector<gain_slot> slots;
  std::vector<std::int32_t> at;
  buffer states;             // (T + 1) x n x width: predictions, for the mean and each direction
  buffer errors;             // T x p x width: F^-1 times the innovations, the observed ones first
  buffer information, right; // of the diffuse coefficients
  buffer mixing;             // width x width: columns for the posterior of the coefficients
  double minus_twice = 0;
  double diffuse_spread = 0;
  index n_observed = 0;

private:
  // A flat law of the coefficients does not notice a finite one added to it, and a start with some
  // variance everywhere keeps the first innovation covariances regular. Its size is that of noise.
  void spread_diffuse(const belief &start) {
    if (k == 0)
      return;
    buffer seen(count(p * k)), noise(count(p * p)), work(count(p * n));
    small::multiply(p, n, k, C.data(), start.diffuse.data(), seen.data());
    small::congruence(p, n, C.data(), Q.data(), R.data(), noise.data(), work.data());
    double level = 0, reach = small::dot(p * k, seen.data(), seen.data());
    for (index i = 0; i < p; ++i)
      level += noise[count(i * (p + 1))];
    for (index i = 0; i < n; ++i)
      level += reach > 0 ? 0.0 : Q[count(i * (n + 1))];
    diffuse_spread = level > 0 && reach > 0 ? level / reach : 1.0;
    add_product(n, n, k, diffuse_spread, start.diffuse.data(), start.diffuse.data(), P_);
  }

  void step(index t) {
    std::vector<index> rows;
    for (index i = 0; i < p; ++i)
      if (!std::isnan(y_(t, i)))
        rows.push_back(i);
    if (!(steady_ && rows == slots.back().rows))
      open_slot(std::move(rows));
    at.push_back(static_cast<std::int32_t>(slots.size() - 1));
    const gain_slot &slot = slots.back();
    n_observed += static_cast<index>(slot.rows.size());
    advance(t, slot);
    if (!steady_)
      advance_covariance(slot);
  }

  void open_slot(std::vector<index> rows) {
    gain_slot s;
    s.rows = std::move(rows);
    s.P = P_;
    const auto m = static_cast<index>(s.rows.size());
    buffer F(count(m * m)), M(count(n * m)), AM(count(n * m)), white(count(m * m));
    for (const index row : s.rows)
      s.C.insert(s.C.end(), C.begin() + row * n, C.begin() + (row + 1) * n);
    small::multiply_right_transposed(n, n, m, P_.data(), s.C.data(), M.data());
    small::multiply(m, n, m, s.C.data(), M.data(), F.data());
    for (index i = 0; i < m; ++i)
      for (index j = 0; j < m; ++j)
        F[count(i * m + j)] += R[count(s.rows[count(i)] * p + s.rows[count(j)])];
    double unused = 0;
    require(small::inverse_cholesky(m, F.data(), white.data(), unused),
            "system: got a singular covariance of an innovation, want noise that reaches every "
            "observed number");
    for (index i = 0; i < m; ++i)
      s.log_det -= 2 * std::log(white[count(i * (m + 1))]);
    s.precision.resize(count(m * m));
    small::multiply_left_transposed(m, m, m, white.data(), white.data(), s.precision.data());
    small::multiply(n, n, m, A.data(), M.data(), AM.data());
    s.K.resize(count(n * m));
    small::multiply(n, m, m, AM.data(), s.precision.data(), s.K.data());
    s.L = A;
    buffer KC(count(n * n));
    small::multiply(n, m, n, s.K.data(), s.C.data(), KC.data());
    add(-1.0, KC, s.L);
    steady_ = false;
    slots.push_back(std::move(s));
  }

  // Innovations and the next predictions, for the mean and for each diffuse direction.
  void advance(index t, const gain_slot &slot) {
    const auto m = static_cast<index>(slot.rows.size());
    const std::size_t old = states.size() - count(n * width);
    buffer v(count(m * width)), e(count(p * width), 0.0), next(count(n * width)),
        moved(count(n * width));
    small::multiply(m, n, width, slot.C.data(), states.data() + old, v.data());
    for (index i = 0; i < m; ++i) {
      for (index j = 0; j < width; ++j)
        v[count(i * width + j)] = -v[count(i * width + j)];
      v[count(i * width)] += y_(t, slot.rows[count(i)]) - d[count(slot.rows[count(i)])];
    }
    small::multiply(m, m, width, slot.precision.data(), v.data(), e.data());
    for (index i = 0; i < m; ++i)
      gather(v.data() + i * width, e.data() + i * width);
    minus_twice += static_cast<double>(m) * log_two_pi + slot.log_det;
    small::multiply(n, n, width, A.data(), states.data() + old, next.data());
    small::multiply(n, m, width, slot.K.data(), v.data(), moved.data());
    add(1.0, moved, next);
    for (index i = 0; i < n; ++i)
      next[count(i * width)] += c[count(i)];
    states.insert(states.end(), next.begin(), next.end());
    errors.insert(errors.end(), e.begin(), e.end());
  }

  // One row of v and of F^-1 v into the sums of squares.
  void gather(const double *v, const double *e) {
    minus_twice += v[0] * e[0];
    for (index i = 0; i < k; ++i) {
      right[count(i)] += v[1 + i] * e[0];
      for (index j = 0; j < k; ++j)
        information[count(i * k + j)] += v[1 + i] * e[1 + j];
    }
  }

  void advance_covariance(const gain_slot &slot) {
    const auto m = static_cast<index>(slot.rows.size());
    buffer next(count(n * n)), work(count(n * n)), noise(count(m * m)), rest(count(n * n)),
        wide(count(n * m));
    for (index i = 0; i < m; ++i)
      for (index j = 0; j < m; ++j)
        noise[count(i * m + j)] = R[count(slot.rows[count(i)] * p + slot.rows[count(j)])];
    small::congruence(n, m, slot.K.data(), noise.data(), Q.data(), rest.data(), wide.data());
    small::congruence(n, n, slot.L.data(), P_.data(), rest.data(), next.data(), work.data());
    steady_ = close(n, next, P_);
    if (!steady_)
      std::swap(P_, next);
    for (const double x : P_)
      require(std::isfinite(x), "system: got a variance that leaves the range of float64");
  }

  void integrate_diffuse() {
    mixing.assign(count(width * width), 0.0);
    mixing[0] = 1.0;
    if (k == 0)
      return;
    buffer root(count(k * k)), scaled(count(k));
    double unused = 0;
    small::symmetrise(k, information.data());
    require(small::inverse_cholesky(k, information.data(), root.data(), unused),
            "y: got too few observations to determine the diffuse start");
    small::apply(k, k, root.data(), right.data(), scaled.data());
    for (index i = 0; i < k; ++i) {
      minus_twice -= 2 * std::log(root[count(i * (k + 1))]) + scaled[count(i)] * scaled[count(i)];
      for (index j = 0; j < k; ++j) {
        mixing[count((1 + i) * width)] -= root[count(j * k + i)] * scaled[count(j)];
        mixing[count((1 + i) * width + 1 + j)] = root[count(j * k + i)];
      }
    }
  }

  matrix_view<const double> y_;
  buffer P_;
  bool steady_ = false;
};

class backward_pass {
public:
  backward_pass(const forward_pass &forward, const belief &start)
      : f(forward), n(f.n), w(f.width), r_(count(n * w), 0.0), N_(count(n * n), 0.0) {
    out.transition = out.state_noise = out.cov = out.second_moment = buffer(count(n * n), 0.0);
    out.observation.assign(count(f.p * n), 0.0);
    out.obs_noise.assign(count(f.p * f.p), 0.0);
    out.state_offset.assign(count(n), 0.0);
    out.obs_offset.assign(count(f.p), 0.0);
    out.last_moment.assign(count(n * n), 0.0);
    interrupt_poll poll;
    for (auto t = static_cast<index>(f.at.size()) - 1; t >= 0; --t) {
      if ((t & 255) == 0)
        poll();
      step(t);
    }
    finish(start);
  }

  score_result out;

private:
  void step(index t) {
    const std::int32_t place = f.at[count(t)];
    const gain_slot &s = f.slots[count(place)];
    const auto m = static_cast<index>(s.rows.size());
    if (!(settled_ && place == place_))
      open(s, place);
    buffer e(count(m * w)), u(count(m * w)), x(count(n * w)), before(count(n * w)),
        work(count(n * w));
    small::multiply(m, w, w, f.errors.data() + t * f.p * w, f.mixing.data(), e.data());
    small::multiply_left_transposed(m, n, w, s.K.data(), r_.data(), u.data());
    for (std::size_t i = 0; i < u.size(); ++i)
      u[i] = e[i] - u[i];
    small::multiply_left_transposed(n, m, w, s.C.data(), e.data(), before.data());
    small::multiply_left_transposed(n, n, w, s.L.data(), r_.data(), work.data());
    add(1.0, work, before);
    small::multiply(n, w, w, f.states.data() + t * n * w, f.mixing.data(), x.data());
    small::multiply(n, n, w, s.P.data(), before.data(), work.data());
    add(1.0, work, x);
    gather(s, u, x);
    if (t + 1 == static_cast<index>(f.at.size())) {
      out.last_moment = smoothed_;
      add_product(n, n, w, 1.0, x.data(), x.data(), out.last_moment);
    }
    std::swap(r_, before);
    std::swap(N_, N_before_);
    settled_ = settled_ || close(n, N_, N_before_);
    if (settled_)
      N_before_ = N_;
  }

  // The terms that do not depend on the data.
  void open(const gain_slot &s, std::int32_t place) {
    const auto m = static_cast<index>(s.rows.size());
    settled_ = false;
    place_ = place;
    NLP_.resize(count(n * n));
    D_ = s.precision;
    PC_.resize(count(m * n));
    N_before_.assign(count(n * n), 0.0);
    smoothed_ = s.P;
    buffer square(count(n * n)), NK(count(n * m)), mm(count(m * m)), mn(count(m * n)), CP(mn);
    small::multiply(n, n, n, N_.data(), s.L.data(), square.data());
    small::multiply(n, n, n, square.data(), s.P.data(), NLP_.data());
    small::multiply_left_transposed(n, n, n, s.L.data(), square.data(), N_before_.data());
    small::multiply(n, n, m, N_.data(), s.K.data(), NK.data());
    small::multiply_left_transposed(m, n, m, s.K.data(), NK.data(), mm.data());
    add(1.0, mm, D_);
    small::multiply(m, m, n, s.precision.data(), s.C.data(), mn.data());
    small::multiply_left_transposed(n, m, n, s.C.data(), mn.data(), square.data());
    add(1.0, square, N_before_);
    small::symmetrise(n, N_before_.data());
    small::multiply(m, n, n, mn.data(), s.P.data(), PC_.data());
    small::multiply_left_transposed(m, n, n, s.K.data(), NLP_.data(), CP.data());
    add(-1.0, CP, PC_);
    buffer half(count(n * n));
    small::congruence(n, n, s.P.data(), N_before_.data(), nullptr, square.data(), half.data());
    add(-1.0, square, smoothed_);
  }

  void gather(const gain_slot &s, const buffer &u, const buffer &x) {
    const auto m = static_cast<index>(s.rows.size());
    add_product(n, n, w, 1.0, r_.data(), x.data(), out.transition);
    add(-1.0, NLP_, out.transition);
    add_product(n, n, w, 0.5, r_.data(), r_.data(), out.state_noise);
    add(-0.5, N_, out.state_noise);
    add_product(n, n, w, 1.0, x.data(), x.data(), out.second_moment);
    add(1.0, smoothed_, out.second_moment);
    for (index i = 0; i < n; ++i)
      out.state_offset[count(i)] += r_[count(i * w)];
    for (index i = 0; i < m; ++i) {
      const index row = s.rows[count(i)];
      out.obs_offset[count(row)] += u[count(i * w)];
      for (index j = 0; j < n; ++j)
        out.observation[count(row * n + j)] +=
            small::dot(w, u.data() + i * w, x.data() + j * w) - PC_[count(i * n + j)];
      for (index j = 0; j < m; ++j)
        out.obs_noise[count(row * f.p + s.rows[count(j)])] +=
            0.5 * (small::dot(w, u.data() + i * w, u.data() + j * w) - D_[count(i * m + j)]);
    }
  }

  void finish(const belief &start) {
    const index k = f.k;
    out.log_likelihood = -0.5 * f.minus_twice;
    out.n_observed = f.n_observed;
    out.mean.resize(count(n));
    for (index i = 0; i < n; ++i)
      out.mean[count(i)] = r_[count(i * w)];
    add_product(n, n, w, 0.5, r_.data(), r_.data(), out.cov);
    add(-0.5, N_, out.cov);
    out.diffuse.assign(count(n * k), 0.0);
    add_product(n, k, w, 1.0, r_.data(), f.mixing.data() + w, out.diffuse);
    buffer spread(count(n * k));
    small::multiply(n, n, k, out.cov.data(), start.diffuse.data(), spread.data());
    add(2 * f.diffuse_spread, spread, out.diffuse);
  }

  const forward_pass &f;
  index n, w;
  buffer r_, N_;
  buffer NLP_, D_, PC_, N_before_, smoothed_;
  std::int32_t place_ = -1;
  bool settled_ = false;
};

} // namespace

score_result score(const model &system, const belief &start, matrix_view<const double> y) {
  require(y.cols == system.observation.rows, "y: want as many columns as the system has outputs");
  forward_pass forward(system, start, y);
  forward.run();
  return backward_pass(forward, start).out;
}

} // namespace eigenflow::lds
