// SPDX-License-Identifier: BSD-3-Clause
#include "lds_score_forward.hpp"

#include "isa/lds_step.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <numbers>

namespace eigenflow::lds::scoring {
namespace {

constexpr double steady_rtol = 8 * 2.3e-16;
const double log_two_pi = std::log(2 * std::numbers::pi);

} // namespace

void add_product(index m, index n, index k, double scale, const double *a, const double *b,
                 double *out) {
  if (k == 1) {
    for (index i = 0; i < m; ++i) {
      const double factor = scale * a[i];
      for (index j = 0; j < n; ++j)
        out[i * n + j] += factor * b[j];
    }
    return;
  }
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < n; ++j)
      out[i * n + j] += scale * small::dot(k, a + i * k, b + j * k);
}

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

forward_pass::forward_pass(const model &system, const belief &start, const observations &series)
    : cursor(system, series.inputs), now(cursor.now()), n(now.n), p(now.p), k(start.n_diffuse),
      width(1 + k), n_steps(series.y.rows), y_(series.y), P_(start.cov),
      mean_(count(n * width), 0.0), information_(count(k * k), 0.0), right_(count(k), 0.0) {
  joined = k > 0 ? n_steps + 1 : 0;
  for (index i = 0; i < n; ++i) {
    mean_[count(i * width)] = start.mean[count(i)];
    for (index j = 0; j < k; ++j)
      mean_[count(i * width + 1 + j)] = start.diffuse[count(i * k + j)];
  }
  spread_diffuse(start);
}

void forward_pass::run(bool early) {
  constexpr double well_determined = 1e-6;
  interrupt_poll poll;
  states_.reserve(count(n * (n_steps + 1)));
  errors_.reserve(count(p * n_steps));
  for (index t = 0; t < n_steps; ++t) {
    if ((t & 63) == 0)
      poll();
    if (early && (t & 7) == 0 && t > 0 && width_at(t) > 1)
      join(t, well_determined);
    cursor.seek(t);
    step(t);
  }
  if (width_at(n_steps - 1) > 1)
    require(join(n_steps, 0), "y: got too few observations to determine the diffuse start");
}

// A flat law of the coefficients does not notice a finite one added to it, and a start with some
// variance everywhere keeps the first innovation covariances regular. Its size is that of noise.
void forward_pass::spread_diffuse(const belief &start) {
  if (k == 0)
    return;
  buffer seen(count(p * k)), noise(count(p * p)), work(count(p * n));
  small::multiply(p, n, k, now.C.data(), start.diffuse.data(), seen.data());
  small::congruence(p, n, now.C.data(), now.Q.data(), now.R.data(), noise.data(), work.data());
  double level = 0;
  const double reach = small::dot(p * k, seen.data(), seen.data());
  for (index i = 0; i < p; ++i)
    level += noise[count(i * (p + 1))];
  for (index i = 0; i < n; ++i)
    level += reach > 0 ? 0.0 : now.Q[count(i * (n + 1))];
  diffuse_spread = level > 0 && reach > 0 ? level / reach : 1.0;
  add_product(n, n, k, diffuse_spread, start.diffuse.data(), start.diffuse.data(), P_.data());
}

void forward_pass::step(index t) {
  std::vector<index> rows;
  for (index i = 0; i < p; ++i)
    if (!std::isnan(y_(t, i)))
      rows.push_back(i);
  const bool same = steady_ && rows == slots.back().rows && now.version == slots.back().version;
  if (!same)
    open_slot(std::move(rows));
  at.push_back(static_cast<std::int32_t>(slots.size() - 1));
  const gain_slot &slot = slots.back();
  n_observed += static_cast<index>(slot.rows.size());
  advance(t, slot);
  if (!steady_)
    advance_covariance(slot);
}

void forward_pass::open_slot(std::vector<index> rows) {
  gain_slot s;
  s.rows = std::move(rows);
  s.version = now.version;
  s.P = P_;
  const auto m = static_cast<index>(s.rows.size());
  buffer F(count(m * m)), M(count(n * m)), AM(count(n * m)), white(count(m * m));
  for (const index row : s.rows)
    s.C.insert(s.C.end(), now.C.begin() + row * n, now.C.begin() + (row + 1) * n);
  small::multiply_right_transposed(n, n, m, P_.data(), s.C.data(), M.data());
  small::multiply(m, n, m, s.C.data(), M.data(), F.data());
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < m; ++j)
      F[count(i * m + j)] += now.R[count(s.rows[count(i)] * p + s.rows[count(j)])];
  double unused = 0;
  require(small::inverse_cholesky(m, F.data(), white.data(), unused),
          "system: got a singular covariance of an innovation, want noise that reaches every "
          "observed number");
  for (index i = 0; i < m; ++i)
    s.log_det -= 2 * std::log(white[count(i * (m + 1))]);
  s.precision.resize(count(m * m));
  small::multiply_left_transposed(m, m, m, white.data(), white.data(), s.precision.data());
  small::multiply(n, n, m, now.A.data(), M.data(), AM.data());
  S_.assign(count(now.S.empty() ? 0 : n * m), 0.0);
  for (index i = 0; i < n && !S_.empty(); ++i)
    for (index j = 0; j < m; ++j)
      S_[count(i * m + j)] = now.S[count(i * p + s.rows[count(j)])];
  add(1.0, S_, AM.data());
  s.K.resize(count(n * m));
  small::multiply(n, m, m, AM.data(), s.precision.data(), s.K.data());
  s.L = now.A;
  buffer KC(count(n * n));
  small::multiply(n, m, n, s.K.data(), s.C.data(), KC.data());
  add(-1.0, KC, s.L.data());
  steady_ = false;
  slots.push_back(std::move(s));
}

// Innovations and the next predictions, for the mean and for each diffuse direction.
void forward_pass::advance(index t, const gain_slot &slot) {
  const auto m = static_cast<index>(slot.rows.size());
  const index w = width_at(t);
  v_.resize(count(m * w));
  e_.assign(count(p * w), 0.0);
  next_.resize(count(n * w));
  moved_.resize(count(n * w));
  states_.insert(states_.end(), mean_.begin(), mean_.end());
  small::multiply(m, n, w, slot.C.data(), mean_.data(), v_.data());
  for (index i = 0; i < m; ++i) {
    for (index j = 0; j < w; ++j)
      v_[count(i * w + j)] = -v_[count(i * w + j)];
    v_[count(i * w)] += y_(t, slot.rows[count(i)]) - now.d[count(slot.rows[count(i)])];
  }
  small::multiply(m, m, w, slot.precision.data(), v_.data(), e_.data());
  for (index i = 0; i < m; ++i)
    gather(v_.data() + i * w, e_.data() + i * w, w - 1);
  minus_twice += static_cast<double>(m) * log_two_pi + slot.log_det;
  small::multiply(n, n, w, now.A.data(), mean_.data(), next_.data());
  small::multiply(n, m, w, slot.K.data(), v_.data(), moved_.data());
  add(1.0, moved_, next_.data());
  for (index i = 0; i < n; ++i)
    next_[count(i * w)] += now.c[count(i)];
  std::swap(mean_, next_);
  errors_.insert(errors_.end(), e_.begin(), e_.end());
}

// One row of v and of F^-1 v into the sums of squares.
void forward_pass::gather(const double *v, const double *e, index columns) {
  minus_twice += v[0] * e[0];
  for (index i = 0; i < columns; ++i) {
    right_[count(i)] += v[1 + i] * e[0];
    for (index j = 0; j < k; ++j)
      information_[count(i * k + j)] += v[1 + i] * e[1 + j];
  }
}

void forward_pass::advance_covariance(const gain_slot &slot) {
  const auto m = static_cast<index>(slot.rows.size());
  next_cov_.resize(count(n * n));
  rest_.resize(count(n * n));
  work_.resize(count(2 * n * n));
  noise_.resize(count(m * m));
  wide_.resize(count(n * m));
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < m; ++j)
      noise_[count(i * m + j)] = now.R[count(slot.rows[count(i)] * p + slot.rows[count(j)])];
  small::congruence(n, m, slot.K.data(), noise_.data(), now.Q.data(), rest_.data(), wide_.data());
  if (!S_.empty()) {
    add_product(n, n, m, -1.0, slot.K.data(), S_.data(), rest_.data());
    add_product(n, n, m, -1.0, S_.data(), slot.K.data(), rest_.data());
  }
  isa::lds_step().predict(n, slot.L.data(), P_.data(), rest_.data(), next_cov_.data(),
                          work_.data());
  steady_ = cursor.constant() && close(n, next_cov_, P_);
  if (!steady_)
    std::swap(P_, next_cov_);
  for (const double x : P_)
    require(std::isfinite(x), "system: got a variance that leaves the range of float64");
}

// The diffuse columns join the law of the state before row t; false, and nothing happens, where the
// coefficients are not determined: a pivot of their information is its share that those before it
// leave unexplained.
bool forward_pass::join(index t, double least_pivot) {
  buffer root(count(k * k)), scaled(count(k));
  double unused = 0;
  small::symmetrise(k, information_.data());
  if (!small::inverse_cholesky(k, information_.data(), root.data(), unused))
    return false;
  for (index i = 0; i < k; ++i) {
    const double diagonal = root[count(i * (k + 1))];
    if (!(1 >= least_pivot * information_[count(i * (k + 1))] * diagonal * diagonal))
      return false;
  }
  small::apply(k, k, root.data(), right_.data(), scaled.data());
  posterior.coefficients.assign(count(k), 0.0);
  for (index i = 0; i < k; ++i) {
    minus_twice -= 2 * std::log(root[count(i * (k + 1))]) + scaled[count(i)] * scaled[count(i)];
    for (index j = 0; j < k; ++j)
      posterior.coefficients[count(i)] -= root[count(j * k + i)] * scaled[count(j)];
  }
  posterior.spread.assign(count(n * k), 0.0);
  buffer mean(count(n));
  for (index i = 0; i < n; ++i) {
    const double *columns = mean_.data() + i * width + 1;
    mean[count(i)] = columns[-1] + small::dot(k, columns, posterior.coefficients.data());
    for (index j = 0; j < k; ++j)
      posterior.spread[count(i * k + j)] = small::dot(k, columns, root.data() + j * k);
  }
  posterior.root = std::move(root);
  add_product(n, n, k, 1.0, posterior.spread.data(), posterior.spread.data(), P_.data());
  mean_ = std::move(mean);
  joined = t;
  steady_ = false;
  return true;
}

} // namespace eigenflow::lds::scoring
