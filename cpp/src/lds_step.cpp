// SPDX-License-Identifier: BSD-3-Clause
#include "lds_step.hpp"

#include <eigenflow/errors.hpp>

#include <cmath>
#include <numbers>

namespace eigenflow::lds {
namespace {

// A diffuse direction that an observation sees with less than this share of its size is taken as
// unseen: what is left there is rounding.
constexpr double diffuse_tolerance = 1e-11;
constexpr double epsilon = 0x1p-52;
const double log_two_pi = std::log(2 * std::numbers::pi);

void check_shapes(const model &m) {
  const index n = m.transition.rows, p = m.observation.rows;
  const bool chain = n > 0 && p > 0 && m.transition.cols == n && m.observation.cols == n &&
                     m.state_noise.rows == n && m.state_noise.cols == n && m.obs_noise.rows == p &&
                     m.obs_noise.cols == p;
  require(chain, "system: want shapes A (n, n), C (p, n), Q (n, n), R (p, p) with n, p >= 1");
  require(m.state_offset.size == 0 || m.state_offset.size == n, "state_offset: want n numbers");
  require(m.obs_offset.size == 0 || m.obs_offset.size == p, "obs_offset: want p numbers");
}

} // namespace

dense_model::dense_model(const model &system)
    : n((check_shapes(system), system.transition.rows)), p(system.observation.rows),
      A(small::packed(system.transition)), C(small::packed(system.observation)),
      Q(small::packed(system.state_noise)), R(small::packed(system.obs_noise)),
      c(small::packed(system.state_offset, n)), d(small::packed(system.obs_offset, p)) {}

observed_rows::observed_rows(const dense_model &system)
    : system_(system), seen_(count(system.p), 0), pattern_(count(system.p), 2) {
  values.reserve(count(system.p));
}

bool observed_rows::read(vector_view<const double> y) {
  for (index k = 0; k < system_.p; ++k)
    seen_[count(k)] = std::isnan(y[k]) ? 0 : 1;
  if (seen_ != pattern_) {
    pattern_ = seen_;
    factor();
  }
  values.resize(count(n_rows));
  for (index i = 0; i < n_rows; ++i) {
    const index row = rows_[count(i)];
    const double *lower = lower_.data() + i * n_rows;
    values[count(i)] = y[row] - system_.d[count(row)] - small::dot(i, lower, values.data());
  }
  return n_rows == system_.p;
}

// R = L D L' without square roots; a pivot that vanishes leaves a column of zeros, which is right
// for a semidefinite R.
void observed_rows::factor() {
  const index n = system_.n, p = system_.p;
  rows_.clear();
  for (index k = 0; k < p; ++k)
    if (seen_[count(k)] != 0)
      rows_.push_back(k);
  n_rows = static_cast<index>(rows_.size());
  lower_ = small::identity(n_rows);
  noise.assign(count(n_rows), 0.0);
  loadings.assign(count(n_rows * n), 0.0);
  for (index i = 0; i < n_rows; ++i) {
    double *row = lower_.data() + i * n_rows;
    const double variance = system_.R[count(rows_[count(i)] * (p + 1))];
    double left = variance;
    for (index j = 0; j < i; ++j) {
      double value = system_.R[count(rows_[count(i)] * p + rows_[count(j)])];
      for (index k = 0; k < j; ++k)
        value -= row[k] * noise[count(k)] * lower_[count(j * n_rows + k)];
      row[j] = noise[count(j)] > 0 ? value / noise[count(j)] : 0.0;
      left -= row[j] * row[j] * noise[count(j)];
    }
    noise[count(i)] = left > 4 * epsilon * static_cast<double>(p) * variance ? left : 0.0;
    for (index j = 0; j < n; ++j) {
      double value = system_.C[count(rows_[count(i)] * n + j)];
      for (index k = 0; k < i; ++k)
        value -= row[k] * loadings[count(k * n + j)];
      loadings[count(i * n + j)] = value;
    }
  }
}

stepper::stepper(const dense_model &system)
    : system_(system), work_(count(system.n * system.n)), other_(count(system.n * system.n)),
      gain_(count(system.n)), projection_(count(system.n)) {}

double stepper::update(belief &state, const observed_rows &rows,
                       std::vector<scalar_update> *trace) {
  const index n = system_.n;
  double log_likelihood = 0;
  // Largest variance that each row could have had before this step: what is smaller than its
  // rounding error is zero, as for the second of two equal rows without noise.
  buffer spread(count(n));
  for (index j = 0; j < n; ++j)
    spread[count(j)] = std::sqrt(std::max(0.0, state.cov[count(j * n + j)]));
  if (trace != nullptr)
    trace->assign(count(rows.n_rows), scalar_update{});
  for (index i = 0; i < rows.n_rows; ++i) {
    const double *z = rows.loadings.data() + i * n;
    scalar_update &entry = trace != nullptr ? (*trace)[count(i)] : scratch_;
    const double innovation = rows.values[count(i)] - small::dot(n, z, state.mean.data());
    entry.covariance.resize(count(n));
    small::apply(n, n, state.cov.data(), z, entry.covariance.data());
    entry.innovation = innovation;
    entry.variance = small::dot(n, z, entry.covariance.data()) + rows.noise[count(i)];
    entry.diffuse_variance = 0;
    entry.used = false;
    in_range_ = in_range_ && std::isfinite(entry.variance);
    double reference = 0;
    for (index j = 0; j < n; ++j)
      reference += std::abs(z[j]) * spread[count(j)];
    if (state.n_diffuse > 0)
      log_likelihood += absorb(state, z, rows.noise[count(i)], innovation, entry);
    if (entry.diffuse_variance == 0)
      log_likelihood +=
          condition(state, z, rows.noise[count(i)], innovation, reference * reference, entry);
  }
  return log_likelihood;
}

// The number that a diffuse direction absorbs. P_infinity = D D' is kept as its factor D: a
// reflection turns D'z into its first column, which is dropped, so the rank is exact.
double stepper::absorb(belief &state, const double *z, double noise, double innovation,
                       scalar_update &entry) {
  const index n = system_.n, k = state.n_diffuse;
  buffer &D = state.diffuse;
  buffer h(count(k));
  small::apply_transposed(n, k, D.data(), z, h.data());
  const double length = small::norm(h);
  const double size = small::norm(D);
  if (!(length > diffuse_tolerance * size * std::sqrt(small::dot(n, z, z))))
    return 0.0;
  entry.used = true;
  entry.diffuse_variance = length * length;
  // A square that underflows to zero would also say that nothing was absorbed.
  in_range_ = in_range_ && std::isnormal(entry.diffuse_variance);
  entry.diffuse_covariance.resize(count(n));
  small::apply(n, k, D.data(), h.data(), entry.diffuse_covariance.data());
  for (index j = 0; j < n; ++j)
    gain_[count(j)] = entry.diffuse_covariance[count(j)] / entry.diffuse_variance;
  // I - 2 u u' / u'u sends h to a multiple of the first unit vector.
  h[0] += std::copysign(length, h[0]);
  const double scale = 2 / small::dot(k, h.data(), h.data());
  buffer left;
  for (index j = 1; j < k; ++j) {
    buffer column(count(n));
    for (index i = 0; i < n; ++i) {
      const double *row = D.data() + i * k;
      column[count(i)] = row[j] - scale * h[count(j)] * small::dot(k, row, h.data());
    }
    if (small::norm(column) > diffuse_tolerance * size)
      left.insert(left.end(), column.begin(), column.end());
  }
  state.n_diffuse = static_cast<index>(left.size()) / n;
  D.resize(left.size());
  for (index j = 0; j < state.n_diffuse; ++j)
    for (index i = 0; i < n; ++i)
      D[count(i * state.n_diffuse + j)] = left[count(j * n + i)];
  for (index j = 0; j < n; ++j)
    state.mean[count(j)] += gain_[count(j)] * innovation;
  shrink(state, gain_.data(), z, noise);
  return -0.5 * (log_two_pi + 2 * std::log(length));
}

double stepper::condition(belief &state, const double *z, double noise, double innovation,
                          double reference, scalar_update &entry) {
  const index n = system_.n;
  const double variance = entry.variance;
  // Without noise, a variance at the rounding error of its parts says that the number was known.
  const bool known = noise == 0 && variance <= 8 * static_cast<double>(n) * epsilon * reference;
  if (known || !(variance > 0))
    return 0.0;
  entry.used = true;
  for (index j = 0; j < n; ++j) {
    gain_[count(j)] = entry.covariance[count(j)] / variance;
    state.mean[count(j)] += gain_[count(j)] * innovation;
  }
  shrink(state, gain_.data(), z, noise);
  return -0.5 * (log_two_pi + std::log(variance) + innovation / variance * innovation);
}

// Joseph form (I - k z') P (I - k z')' + noise k k': a sum of two semidefinite terms for any gain.
void stepper::shrink(belief &state, const double *gain, const double *z, double noise) {
  const index n = system_.n;
  double *P = state.cov.data();
  small::apply(n, n, P, z, projection_.data());
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      P[i * n + j] -= gain[i] * projection_[count(j)];
  small::apply(n, n, P, z, projection_.data());
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      P[i * n + j] += (noise * gain[i] - projection_[count(i)]) * gain[j];
  small::symmetrise(n, P);
}

void stepper::predict(belief &state) {
  const index n = system_.n;
  small::apply(n, n, system_.A.data(), state.mean.data(), projection_.data());
  for (index i = 0; i < n; ++i)
    state.mean[count(i)] = projection_[count(i)] + system_.c[count(i)];
  small::congruence(n, n, system_.A.data(), state.cov.data(), system_.Q.data(), other_.data(),
                    work_.data());
  std::swap(state.cov, other_);
  if (state.n_diffuse > 0) {
    buffer moved(state.diffuse.size());
    small::multiply(n, n, state.n_diffuse, system_.A.data(), state.diffuse.data(), moved.data());
    state.diffuse = std::move(moved);
    in_range_ = in_range_ && std::isfinite(small::norm(state.diffuse));
    if (!(small::norm(state.diffuse) > 0)) { // the transition forgot what was never seen
      state.diffuse.clear();
      state.n_diffuse = 0;
    }
  }
}

} // namespace eigenflow::lds
