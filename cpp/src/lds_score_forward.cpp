// SPDX-License-Identifier: BSD-3-Clause
#include "lds_score_forward.hpp"

#include "isa/lds.hpp"
#include "system.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <numbers>

namespace eigenflow::lds::scoring {
namespace {

const double log_two_pi = std::log(2 * std::numbers::pi);

} // namespace

// Pieces double. Large ones ask for huge pages, since the first touch of small ones costs as much
// as the steps that fill them.
void row_store::grow(index need) {
  constexpr index large = static_cast<index>(huge_page / sizeof(line)), most = 4 * large;
  left_ = std::max(need, growth_);
  growth_ = std::min(2 * growth_, most);
  pieces_.emplace_back(new line[count(left_)]);
  next_ = pieces_.back().get();
  if (left_ >= large)
    prefer_huge_pages(next_, count(left_) * sizeof(line));
}

void set_closed_loop(const row_view &A, const row_view &minus_K, const row_view &C, row_matrix &L) {
  L.reset(A.rows, A.cols);
  add(1.0, A, L);
  add_left_transposed(minus_K, C, L);
}

forward_pass::forward_pass(const model &system, const belief &start, const observations &series)
    : cursor(system, series.inputs), now(cursor.now()), n(now.n), p(now.p), k(start.n_diffuse),
      width(1 + k), n_steps(series.y.rows), steps_between_polls(n < 16   ? 64
                                                                : n < 64 ? 8
                                                                         : 1),
      y_(series.y), P_(n, n, start.cov.data()), mean_(width, n), information_(count(k * k), 0.0),
      right_(count(k), 0.0), units_(count(n)) {
  joined = k > 0 ? n_steps + 1 : 0;
  for (index i = 0; i < n; ++i) {
    mean_(0, i) = start.mean[count(i)];
    for (index j = 0; j < k; ++j)
      mean_(1 + j, i) = start.diffuse[count(i * k + j)];
  }
  spread_diffuse(start);
}

void forward_pass::run(bool early, half_steps &told) {
  constexpr double well_determined = 1e-6;
  interrupt_poll poll;
  states_.reserve(count(n * (n_steps + 1)));
  errors_.reserve(count(p * n_steps));
  for (index t = 0; t < n_steps; ++t) {
    if (t % steps_between_polls == 0) {
      poll();
      told.done(t);
    }
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
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      P_(i, j) += diffuse_spread *
                  small::dot(k, start.diffuse.data() + i * k, start.diffuse.data() + j * k);
}

void forward_pass::step(index t) {
  rows_.clear();
  for (index i = 0; i < p; ++i)
    if (!std::isnan(y_(t, i)))
      rows_.push_back(i);
  if (!steady_ || rows_ != slots.back().rows || now.version != slots.back().version)
    open_slot(rows_);
  at.push_back(static_cast<std::int32_t>(slots.size() - 1));
  const gain_slot &slot = slots.back();
  n_observed += static_cast<index>(slot.rows.size());
  advance(t, slot);
  if (!steady_)
    advance_covariance();
}

void forward_pass::open_slot(const std::vector<index> &rows) {
  const bool moved = version_ != now.version;
  if (moved) {
    L_.reset(n, n, now.A.data());
    A_ = store_.keep(L_);
    transpose(A_, A_turned_);
    version_ = now.version;
  }
  const auto m = static_cast<index>(rows.size());
  gain_slot s;
  s.rows = rows;
  s.version = now.version;
  s.A = A_;
  if (!moved && !slots.empty() && slots.back().rows == rows) {
    s.C = slots.back().C;
  } else {
    C_.reset(m, n);
    for (index i = 0; i < m; ++i)
      std::copy_n(now.C.data() + rows[count(i)] * n, n, C_.row(i));
    S_.reset(now.S.empty() ? 0 : m, n);
    for (index i = 0; i < S_.rows(); ++i)
      for (index j = 0; j < n; ++j)
        S_(i, j) = now.S[count(j * p + rows[count(i)])];
    noise_.reset(m, m);
    for (index i = 0; i < m; ++i)
      for (index j = 0; j < m; ++j)
        noise_(i, j) = now.R[count(rows[count(i)] * p + rows[count(j)])];
    s.C = store_.keep(C_);
  }
  CP_.reset(m, n);
  add_product(C_, P_, CP_);
  s.log_det = invert_innovation();
  gain_.reset(m, n); // before F^-1
  add_product(CP_, A_turned_, gain_);
  if (S_.rows() > 0)
    add(1.0, S_, gain_);
  K_.reset(m, n);
  add_product(precision_, gain_, K_);
  negate(K_, minus_K_);
  set_closed_loop(A_, minus_K_, C_, L_);
  s.P = store_.keep(P_);
  s.K = store_.keep(K_);
  s.precision = store_.keep(precision_);
  slots.push_back(std::move(s));
  steady_ = false;
}

// F^-1 for F = C P C' + R; returns log det F.
double forward_pass::invert_innovation() {
  const index m = C_.rows();
  F_.resize(count(m * m));
  white_.resize(count(m * m));
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < m; ++j)
      F_[count(i * m + j)] = small::dot(n, CP_.row(i), C_.row(j)) + noise_(i, j);
  double log_det = 0;
  require(small::inverse_cholesky(m, F_.data(), white_.data(), log_det),
          "system: got a singular covariance of an innovation, want noise that reaches every "
          "observed number");
  small::multiply_left_transposed(m, m, m, white_.data(), white_.data(), F_.data());
  precision_.reset(m, m, F_.data());
  return log_det;
}

// Innovations and the next predictions, for the mean and for each diffuse direction.
void forward_pass::advance(index t, const gain_slot &slot) {
  const index m = slot.C.rows, w = width_at(t);
  v_.reset(w, m);
  e_.reset(w, m);
  next_.reset(w, n);
  for (index j = 0; j < w; ++j) {
    states_.insert(states_.end(), mean_.row(j), mean_.row(j) + n);
    for (index i = 0; i < m; ++i)
      v_(j, i) = -small::dot(n, slot.C.row(i), mean_.row(j));
  }
  for (index i = 0; i < m; ++i)
    v_(0, i) += y_(t, slot.rows[count(i)]) - now.d[count(slot.rows[count(i)])];
  add_product(v_, slot.precision, e_);
  gather(m);
  minus_twice += static_cast<double>(m) * log_two_pi + slot.log_det;
  std::copy_n(now.c.data(), n, next_.row(0));
  add_product(mean_, A_turned_, next_);
  add_product(v_, slot.K, next_);
  std::swap(mean_, next_);
  errors_.resize(errors_.size() + count(w * p), 0.0);
  double *kept = errors_.data() + (errors_.size() - count(w * p));
  for (index j = 0; j < w; ++j)
    std::copy_n(e_.row(j), m, kept + j * p);
}

// v and F^-1 v into the sums of squares.
void forward_pass::gather(index m) {
  minus_twice += small::dot(m, v_.row(0), e_.row(0));
  for (index i = 0; i + 1 < v_.rows(); ++i) {
    right_[count(i)] += small::dot(m, v_.row(1 + i), e_.row(0));
    for (index j = 0; j < k; ++j)
      information_[count(i * k + j)] += small::dot(m, v_.row(1 + i), e_.row(1 + j));
  }
}

// L P L' + K'R K + Q, less the parts that correlated noises share: K'S + S'K.
void forward_pass::advance_covariance() {
  RK_.reset(C_.rows(), n);
  add_product(noise_, K_, RK_);
  next_cov_.reset(n, n, now.Q.data());
  add_left_transposed(K_, RK_, next_cov_);
  if (S_.rows() > 0) {
    add_left_transposed(minus_K_, S_, next_cov_);
    add_left_transposed(S_, minus_K_, next_cov_);
  }
  LP_.reset(n, n);
  add_product(L_, P_, LP_);
  transpose(L_, L_turned_);
  add_product(LP_, L_turned_, next_cov_);
  symmetrise(next_cov_);
  require(isa::lds().finite(next_cov_.data(), next_cov_.size()),
          "system: got a variance that leaves the range of float64");
  steady_ = cursor.constant() && close(next_cov_, P_, units_);
  if (!steady_)
    std::swap(P_, next_cov_);
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
  row_matrix mean(1, n);
  for (index i = 0; i < n; ++i) {
    mean(0, i) = mean_(0, i);
    for (index j = 0; j < k; ++j) {
      mean(0, i) += mean_(1 + j, i) * posterior.coefficients[count(j)];
      for (index l = 0; l <= j; ++l) // the root is lower triangular
        posterior.spread[count(i * k + j)] += mean_(1 + l, i) * root[count(j * k + l)];
    }
  }
  posterior.root = std::move(root);
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      P_(i, j) += small::dot(k, posterior.spread.data() + i * k, posterior.spread.data() + j * k);
  mean_ = std::move(mean);
  joined = t;
  steady_ = false;
  return true;
}

} // namespace eigenflow::lds::scoring
