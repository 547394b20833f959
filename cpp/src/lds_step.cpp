// SPDX-License-Identifier: BSD-3-Clause
#include "lds_step.hpp"

#include "isa/lds_step.hpp"
#include "lds_array.hpp"

#include <cmath>
#include <numbers>

namespace eigenflow::lds {
namespace {

// A diffuse direction that an observation sees with less than this share of its size is taken as
// unseen: what is left there is rounding.
constexpr double diffuse_tolerance = 1e-11;
constexpr double epsilon = 0x1p-52;
const double log_two_pi = std::log(2 * std::numbers::pi);

// Only a number without noise may turn out to have been known.
bool has_exact_row(const observed_rows &rows) {
  for (const double noise : rows.noise)
    if (noise == 0)
      return true;
  return false;
}

} // namespace

observed_rows::observed_rows(const dense_model &system)
    : system_(system), seen_(count(system.p), 0), pattern_(count(system.p), 2) {
  values.reserve(count(system.p));
}

// One series needs no rotation, and no pattern but there or not.
bool observed_rows::read_one(double y) {
  if (std::isnan(y)) {
    revision_ += n_rows;
    n_rows = 0;
    noise.clear();
    correlated_ = false;
    version_ = -1;
    return false;
  }
  if (version_ != system_.version) {
    version_ = system_.version;
    ++revision_;
    n_rows = 1;
    rows_.assign(1, 0);
    lower_.assign(1, 1.0);
    values.resize(1);
    noise.assign(1, system_.R[0]);
    loadings = system_.C;
    correlated_ = !system_.S.empty();
    if (correlated_)
      decorrelate();
  }
  values[0] = y - system_.d[0];
  return true;
}

bool observed_rows::read(vector_view<const double> y) {
  if (system_.p == 1)
    return read_one(y[0]);
  for (index k = 0; k < system_.p; ++k)
    seen_[count(k)] = std::isnan(y[k]) ? 0 : 1;
  if (version_ != system_.version || seen_ != pattern_) {
    version_ = system_.version;
    pattern_ = seen_;
    ++revision_;
    factor();
    correlated_ = !system_.S.empty() && n_rows > 0;
    if (correlated_)
      decorrelate();
  }
  for (index i = 0; i < n_rows; ++i) {
    const index row = rows_[count(i)];
    const double *lower = lower_.data() + i * n_rows;
    values[count(i)] = y[row] - system_.d[count(row)] - small::dot(i, lower, values.data());
  }
  return n_rows == system_.p;
}

void observed_rows::factor() {
  const index n = system_.n, p = system_.p;
  rows_.clear();
  for (index k = 0; k < p; ++k)
    if (seen_[count(k)] != 0)
      rows_.push_back(k);
  n_rows = static_cast<index>(rows_.size());
  values.resize(count(n_rows));
  loadings.resize(count(n_rows * n));
  for (index i = 0; i < n_rows; ++i)
    std::copy_n(system_.C.data() + rows_[count(i)] * n, n, loadings.data() + i * n);
  if (n_rows == 1) {
    lower_.assign(1, 1.0);
    noise.assign(1, system_.R[count(rows_[0] * (p + 1))]);
    return;
  }
  buffer R(count(n_rows * n_rows));
  for (index i = 0; i < n_rows; ++i)
    for (index j = 0; j < n_rows; ++j)
      R[count(i * n_rows + j)] = system_.R[count(rows_[count(i)] * p + rows_[count(j)])];
  small::unit_factor(n_rows, R.data(), lower_, noise);
  for (index i = 0; i < n_rows; ++i)
    for (index k = 0; k < i; ++k)
      for (index j = 0; j < n; ++j)
        loadings[count(i * n + j)] -= lower_[count(i * n_rows + k)] * loadings[count(k * n + j)];
}

// The state noise given the observed noises: w = S L^-T D^+ (rotated v) + e.
void observed_rows::decorrelate() {
  const index n = system_.n, p = system_.p;
  A_ = system_.A;
  Q_ = system_.Q;
  carried_.assign(count(n * n_rows), 0.0);
  buffer turned(count(n * n_rows));
  for (index i = 0; i < n; ++i) {
    double *row = turned.data() + i * n_rows;
    for (index k = 0; k < n_rows; ++k) {
      row[k] = system_.S[count(i * p + rows_[count(k)])];
      row[k] -= small::dot(k, lower_.data() + k * n_rows, row);
      if (noise[count(k)] > 0)
        carried_[count(i * n_rows + k)] = row[k] / noise[count(k)];
    }
  }
  for (index i = 0; i < n; ++i)
    for (index k = 0; k < n_rows; ++k) {
      const double gain = carried_[count(i * n_rows + k)];
      for (index j = 0; j < n; ++j) {
        A_[count(i * n + j)] -= gain * loadings[count(k * n + j)];
        Q_[count(i * n + j)] -= gain * turned[count(j * n_rows + k)];
      }
    }
  small::clean_covariance(n, system_.Q.data(), Q_.data());
}

void observed_rows::add_carried(double *mean) const {
  if (!correlated_)
    return;
  for (index i = 0; i < system_.n; ++i)
    mean[i] += small::dot(n_rows, carried_.data() + i * n_rows, values.data());
}

stepper::stepper(const dense_model &system, update_form form)
    : system_(system), form_(form), work_(count(2 * system.n * system.n)),
      other_(count(system.n * system.n)), gain_(count(system.n)), projection_(count(system.n)),
      spread_(count(system.n)) {}

double stepper::update(belief &state, const observed_rows &rows,
                       std::vector<scalar_update> *trace) {
  const index n = system_.n;
  double log_likelihood = 0;
  if (form_ == update_form::array && root_.empty())
    root_ = semidefinite_root(n, state.cov);
  // Largest variance that each row could have had before this step: what is smaller than its
  // rounding error is zero, as for the second of two equal rows without noise.
  const bool exact = has_exact_row(rows);
  for (index j = 0; j < n && exact; ++j)
    spread_[count(j)] = std::sqrt(std::max(0.0, state.cov[count(j * n + j)]));
  if (trace != nullptr)
    trace->assign(count(rows.n_rows), scalar_update{});
  for (index i = 0; i < rows.n_rows; ++i) {
    const double *z = rows.loadings.data() + i * n;
    scalar_update &entry = trace != nullptr ? (*trace)[count(i)] : scratch_;
    const double innovation = rows.values[count(i)] - small::dot(n, z, state.mean.data());
    entry.covariance.resize(count(n));
    entry.innovation = innovation;
    entry.variance = isa::lds_step().project(n, state.cov.data(), z, entry.covariance.data()) +
                     rows.noise[count(i)];
    entry.diffuse_variance = 0;
    entry.used = false;
    in_range_ = in_range_ && std::isfinite(entry.variance);
    double reference = 0;
    for (index j = 0; j < n && exact; ++j)
      reference += std::abs(z[j]) * spread_[count(j)];
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
  shrink(state, z, noise);
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
  if (form_ == update_form::standard)
    isa::lds_step().standard(n, state.cov.data(), entry.covariance.data(), variance);
  else
    shrink(state, z, noise);
  return -0.5 * (log_two_pi + std::log(variance) + innovation / variance * innovation);
}

// P <- (I - k z') P (I - k z')' + noise k k' with k = gain_.
void stepper::shrink(belief &state, const double *z, double noise) {
  const index n = system_.n;
  if (form_ != update_form::array) {
    isa::lds_step().joseph(n, state.cov.data(), gain_.data(), z, noise, projection_.data());
    return;
  }
  joseph_root(n, gain_.data(), z, noise, root_, stacked_);
  square_of_root(n, root_, state.cov);
}

void stepper::move_mean(belief &state, const observed_rows &rows) {
  const index n = system_.n;
  small::apply(n, n, rows.transition().data(), state.mean.data(), projection_.data());
  for (index i = 0; i < n; ++i)
    state.mean[count(i)] = projection_[count(i)] + system_.c[count(i)];
  rows.add_carried(state.mean.data());
}

void stepper::predict(belief &state, const observed_rows &rows) {
  const index n = system_.n;
  const buffer &A = rows.transition(), &Q = rows.state_noise();
  move_mean(state, rows);
  if (form_ == update_form::array) {
    if (root_.empty()) // nothing was observed
      root_ = semidefinite_root(n, state.cov);
    if (noise_of_root_ != Q) {
      noise_of_root_ = Q;
      noise_root_ = semidefinite_root(n, Q);
    }
    predict_root(n, A.data(), noise_root_, root_, stacked_);
    square_of_root(n, root_, state.cov);
  } else {
    isa::lds_step().predict(n, A.data(), state.cov.data(), Q.data(), other_.data(), work_.data());
    std::swap(state.cov, other_);
  }
  if (state.n_diffuse > 0)
    predict_diffuse(state, A);
}

void stepper::predict_diffuse(belief &state, const buffer &A) {
  const index n = system_.n;
  buffer moved(state.diffuse.size());
  small::multiply(n, n, state.n_diffuse, A.data(), state.diffuse.data(), moved.data());
  state.diffuse = std::move(moved);
  in_range_ = in_range_ && std::isfinite(small::norm(state.diffuse));
  if (!(small::norm(state.diffuse) > 0)) { // the transition forgot what was never seen
    state.diffuse.clear();
    state.n_diffuse = 0;
  }
}

update_form resolve_form(update_form form, const dense_model &s, const belief &start) {
  if (form != update_form::automatic)
    return form;
  // Joseph's form loses the digits by which the prior variance of what is observed exceeds that of
  // its noise; a start of 1e7 times the noise, as for an "approximately diffuse" one, is past that.
  constexpr double most = 1e6;
  for (index k = 0; k < s.p; ++k) {
    const double *z = s.C.data() + k * s.n;
    const double noise = s.R[count(k * (s.p + 1))];
    double prior = 0;
    for (index i = 0; i < s.n; ++i)
      prior += z[i] * small::dot(s.n, start.cov.data() + i * s.n, z);
    if (noise > 0 && prior > most * noise)
      return update_form::array;
  }
  return update_form::joseph;
}

} // namespace eigenflow::lds
