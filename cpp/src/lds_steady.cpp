// SPDX-License-Identifier: BSD-3-Clause
#include "lds_steady.hpp"

#include "lds_wide.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <limits>

namespace eigenflow::lds {
namespace {

constexpr double epsilon = 0x1p-52;

// Largest |a - b| in units of scale_i scale_j; infinity for what is not finite.
double scaled_difference(index n, const buffer &a, const buffer &b, const buffer &scale) {
  double largest = 0;
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j) {
      const double difference = std::abs(a[count(i * n + j)] - b[count(i * n + j)]);
      const double unit = scale[count(i)] * scale[count(j)];
      if (!std::isfinite(difference))
        return std::numeric_limits<double>::infinity();
      if (difference > 0)
        largest = std::max(largest, difference / unit);
    }
  return largest;
}

// Standard deviations of the prediction. A state that is predicted exactly (a lag in a companion
// form) gets a unit from the states it is made of, far below theirs: rounding must not keep it
// from looking steady.
buffer state_scale(const dense_model &system, const buffer &P) {
  const index n = system.n;
  buffer scale(count(n));
  for (index i = 0; i < n; ++i) {
    double parts = system.Q[count(i * n + i)];
    for (index j = 0; j < n; ++j) {
      const double a = system.A[count(i * n + j)];
      parts += a * a * P[count(j * n + j)];
    }
    scale[count(i)] = std::sqrt(std::max(0.0, P[count(i * n + i)]) + 0x1p-40 * parts);
  }
  return scale;
}

// Filtering a block of steps maps a Gaussian through (A, C, J): see Sarkka and Garcia-Fernandez
// (2021). A block joined with itself is the structured doubling of the Riccati equation; C becomes
// the filtered covariance.
struct block {
  buffer A, C, J;
};

bool first_block(const dense_model &s, block &b) {
  const index n = s.n, p = s.p;
  buffer QC(count(n * p)), S(s.R), rows(count(p * n)), work(count(p * n)), W(count(p * p));
  small::congruence(p, n, s.C.data(), s.Q.data(), s.R.data(), S.data(), work.data());
  double log_det = 0;
  if (!small::inverse_cholesky(p, S.data(), W.data(), log_det))
    return false;
  small::multiply(p, p, n, W.data(), s.C.data(), rows.data()); // S^(-1/2) C
  buffer through(count(p * n));
  small::multiply(p, n, n, rows.data(), s.Q.data(), through.data()); // S^(-1/2) C Q
  small::multiply(p, n, n, rows.data(), s.A.data(), work.data());    // S^(-1/2) C A
  b.J.resize(count(n * n));
  small::multiply_left_transposed(n, p, n, work.data(), work.data(), b.J.data());
  buffer keep = small::identity(n), removed(count(n * n)), gain(count(n * p)), other(count(n * n));
  small::multiply_left_transposed(n, p, n, through.data(), rows.data(), removed.data()); // K C
  for (std::size_t i = 0; i < keep.size(); ++i)
    keep[i] -= removed[i];
  b.A.resize(count(n * n));
  small::multiply(n, n, n, keep.data(), s.A.data(), b.A.data());
  // Joseph form: (I - K C) Q (I - K C)' + K R K'.
  small::multiply_left_transposed(n, p, p, through.data(), W.data(), gain.data());
  buffer noise(count(n * n)), small_work(count(n * p));
  small::congruence(n, p, gain.data(), s.R.data(), nullptr, noise.data(), small_work.data());
  b.C.resize(count(n * n));
  small::congruence(n, n, keep.data(), s.Q.data(), noise.data(), b.C.data(), other.data());
  return true;
}

// Joins the block with itself; false when I + C J is singular or numbers overflow.
bool double_block(index n, block &b) {
  buffer joint(count(n * n)), x(count(n * 2 * n)), work(count(n * n)), next(count(n * n));
  small::multiply(n, n, n, b.C.data(), b.J.data(), joint.data());
  for (index i = 0; i < n; ++i) {
    joint[count(i * n + i)] += 1;
    for (index j = 0; j < n; ++j) {
      x[count(i * 2 * n + j)] = b.A[count(i * n + j)];
      x[count(i * 2 * n + n + j)] = b.C[count(i * n + j)];
    }
  }
  if (!small::solve(n, 2 * n, joint.data(), x.data()))
    return false;
  buffer solved_A(count(n * n)), solved_C(count(n * n));
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j) {
      solved_A[count(i * n + j)] = x[count(i * 2 * n + j)];
      solved_C[count(i * n + j)] = x[count(i * 2 * n + n + j)];
    }
  small::symmetrise(n, solved_C.data());
  small::multiply(n, n, n, b.J.data(), solved_A.data(), work.data());
  small::multiply_left_transposed(n, n, n, b.A.data(), work.data(), next.data());
  for (std::size_t i = 0; i < next.size(); ++i)
    b.J[i] += next[i];
  small::symmetrise(n, b.J.data());
  small::congruence(n, n, b.A.data(), solved_C.data(), b.C.data(), next.data(), work.data());
  std::swap(b.C, next);
  small::multiply(n, n, n, b.A.data(), solved_A.data(), next.data());
  std::swap(b.A, next);
  return std::isfinite(small::norm(b.C)) && std::isfinite(small::norm(b.A)) &&
         std::isfinite(small::norm(b.J));
}

// Predicted covariance by doubling from a state known exactly; false where that does not apply.
bool doubling(const dense_model &s, buffer &P) {
  const index n = s.n;
  block b;
  buffer before(count(n * n)), work(count(n * n));
  P = s.Q;
  if (!first_block(s, b))
    return false;
  interrupt_poll poll;
  for (int k = 0; k < 60; ++k) {
    poll();
    std::swap(before, P);
    P.resize(count(n * n));
    small::congruence(n, n, s.A.data(), b.C.data(), s.Q.data(), P.data(), work.data());
    if (k > 0 && scaled_difference(n, P, before, state_scale(s, P)) <= epsilon)
      return true;
    if (!double_block(n, b))
      return false;
  }
  return true;
}

// One filter step on the covariance.
void riccati(const dense_model &s, stepper &step, observed_rows &rows, buffer &P) {
  belief state;
  state.mean.assign(count(s.n), 0.0);
  state.cov = P;
  const buffer zeros(count(s.p), 0.0);
  rows.read({zeros.data(), s.p, 1});
  step.update(state, rows, nullptr);
  step.predict(state, rows);
  P = std::move(state.cov);
}

// Plain Riccati steps from a large start: slow, but they reach modes that the noise does not.
bool iterate(const dense_model &s, stepper &step, observed_rows &rows, buffer &P, index max_steps) {
  const index n = s.n;
  double size = 0;
  for (index i = 0; i < n; ++i)
    size = std::max(size, s.Q[count(i * (n + 1))]);
  for (index k = 0; k < s.p; ++k)
    size = std::max(size, s.R[count(k * (s.p + 1))]);
  P = s.Q;
  for (index i = 0; i < n; ++i)
    P[count(i * (n + 1))] += size;
  interrupt_poll poll;
  for (index k = 0; k < max_steps; ++k) {
    poll();
    const buffer before = P;
    riccati(s, step, rows, P);
    if (scaled_difference(n, P, before, state_scale(s, P)) <= 4 * epsilon)
      return true;
  }
  return false;
}

// I - K C.
buffer kept_part(const dense_model &s, const steady_filter &f) {
  buffer keep = small::identity(s.n), removed(count(s.n * s.n));
  small::multiply(s.n, s.p, s.n, f.K.data(), s.C.data(), removed.data());
  for (std::size_t i = 0; i < keep.size(); ++i)
    keep[i] -= removed[i];
  return keep;
}

// The gain and what follows from it; false when the filter does not forget.
bool finish(const dense_model &s, steady_filter &f) {
  if (!set_gain(s, f))
    return false;
  const index n = s.n, p = s.p;
  const buffer keep = kept_part(s, f);
  buffer noise(count(n * n)), square(count(n * n)), tall(count(n * p));
  f.filtered.resize(count(n * n));
  small::congruence(n, p, f.K.data(), s.R.data(), nullptr, noise.data(), tall.data());
  small::congruence(n, n, keep.data(), f.P.data(), noise.data(), f.filtered.data(), square.data());
  f.radius = small::spectral_radius(n, f.F);
  return f.radius < 1 - 1e-10;
}

// |sum of F^k| <= (1 + |F|)(1 + |F^2|)(1 + |F^4|)..., in units of the scale.
double forgetting_bound(index n, const steady_filter &f) {
  buffer power = scaled_transition(n, f), square(f.F.size());
  double bound = 1;
  for (int k = 0; k < 64; ++k) {
    const double size = small::norm(power);
    bound *= 1 + size;
    if (!(size > 1e-3) || !std::isfinite(bound))
      break;
    small::multiply(n, n, n, power.data(), power.data(), square.data());
    std::swap(power, square);
  }
  return bound;
}

} // namespace

bool set_gain(const dense_model &s, steady_filter &f) {
  const index n = s.n, p = s.p;
  buffer work(count(p * n)), PC(count(n * p));
  f.S.resize(count(p * p));
  small::congruence(p, n, s.C.data(), f.P.data(), s.R.data(), f.S.data(), work.data());
  f.whiten.resize(count(p * p));
  if (!small::inverse_cholesky(p, f.S.data(), f.whiten.data(), f.log_det))
    return false;
  small::multiply_right_transposed(n, n, p, f.P.data(), s.C.data(), PC.data());
  buffer half(count(n * p));
  small::multiply_right_transposed(n, p, p, PC.data(), f.whiten.data(), half.data());
  f.K.resize(count(n * p));
  small::multiply(n, p, p, half.data(), f.whiten.data(), f.K.data());
  f.L.resize(count(n * p));
  small::multiply(n, n, p, s.A.data(), f.K.data(), f.L.data());
  const buffer keep = kept_part(s, f);
  f.F.resize(count(n * n));
  small::multiply(n, n, n, s.A.data(), keep.data(), f.F.data());
  return true;
}

buffer scaled_transition(index n, const steady_filter &f) {
  buffer out(f.F);
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      if (f.scale[count(i)] > 0)
        out[count(i * n + j)] *= f.scale[count(j)] / f.scale[count(i)];
  return out;
}

double distance(const steady_filter &steady, const buffer &P) {
  return scaled_difference(static_cast<index>(steady.scale.size()), P, steady.P, steady.scale);
}

buffer adjoint_weights(const dense_model &s, const steady_filter &f) {
  buffer white(count(s.p * s.n)), weights(count(s.n * s.p));
  small::multiply(s.p, s.p, s.n, f.whiten.data(), s.C.data(), white.data());
  small::multiply_left_transposed(s.n, s.p, s.p, white.data(), f.whiten.data(), weights.data());
  return weights;
}

buffer adjoint_sum(index n, buffer A, buffer N) {
  buffer work(count(n * n)), term(count(n * n));
  for (int k = 0; k < 64; ++k) {
    small::multiply(n, n, n, N.data(), A.data(), work.data());
    small::multiply_left_transposed(n, n, n, A.data(), work.data(), term.data());
    for (std::size_t i = 0; i < N.size(); ++i)
      N[i] += term[i];
    small::symmetrise(n, N.data());
    if (small::norm(term) <= 1e-17 * small::norm(N))
      break;
    small::multiply(n, n, n, A.data(), A.data(), work.data());
    std::swap(A, work);
  }
  return N;
}

namespace {

steady_filter solve_plain(const dense_model &s, index max_steps) {
  steady_filter f;
  stepper step(s, update_form::joseph);
  observed_rows rows(s);
  const bool found = f.by_doubling = doubling(s, f.P) && finish(s, f);
  if (!found && !(iterate(s, step, rows, f.P, max_steps) && finish(s, f)))
    return f;
  // A filter that hardly forgets has lost digits in the doubling: they come from one in twice as
  // many. Otherwise two plain steps take off what rounding left.
  constexpr double slow = 0.98;
  const buffer precise = found && f.radius > slow ? wide_doubling(s) : buffer{};
  if (!precise.empty())
    f.P = precise;
  for (int k = 0; k < 2 && precise.empty(); ++k)
    riccati(s, step, rows, f.P);
  if (!finish(s, f))
    return f;
  f.scale = state_scale(s, f.P);
  buffer next = f.P;
  riccati(s, step, rows, next);
  f.residual = distance(f, next);
  f.forgetting = forgetting_bound(s.n, f);
  f.tolerance = 64 * epsilon * (1 + 1 / (1 - f.radius * f.radius));
  f.usable = f.residual <= 1e-9 && f.tolerance < 1e-5;
  return f;
}

} // namespace

steady_filter solve_steady(const dense_model &s, index max_steps) {
  if (s.S.empty())
    return solve_plain(s, max_steps);
  const decorrelated free = decorrelate(s);
  dense_model plain(s);
  plain.A = free.A;
  plain.Q = free.Q;
  plain.S.clear();
  steady_filter f = solve_plain(plain, max_steps);
  if (f.usable)
    for (std::size_t i = 0; i < f.L.size(); ++i)
      f.L[i] += free.J[i];
  return f;
}

steady_result steady_state(const model &system) {
  const dense_model dense(system);
  steady_filter f = solve_steady(dense, 100000);
  if (!f.usable)
    throw convergence_error(
        "steady_state: found no covariance for which the filter forgets its start: want every "
        "mode on or outside the unit circle observed, and every mode on it reached by Q");
  return {std::move(f.P), std::move(f.K), std::move(f.S), f.radius, f.residual};
}

} // namespace eigenflow::lds
