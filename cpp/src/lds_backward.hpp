// SPDX-License-Identifier: BSD-3-Clause
// Backward pass of Koopman and Durbin (2000, 2003) over single numbers, exact for diffuse starts:
// smoothed mean = m + P r0 + P_inf r1, covariance P - P N0 P - P_inf N1 P - (..)' - P_inf N2 P_inf.
#pragma once

#include "lds_disturbances.hpp"

#include <cmath>

namespace eigenflow::lds {

// out += scale a b'.
inline void add_outer(index n, double scale, const double *a, const double *b, buffer &out) {
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      out[count(i * n + j)] += scale * a[i] * b[j];
}

inline void add(buffer &out, const buffer &a) {
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] += a[i];
}

class backward_pass {
public:
  // `want_pairs` is for covariances of a state with what leads to the next one.
  backward_pass(const dense_model &system, const steady_filter &steady, bool want_cov,
                bool want_pairs)
      : system_(system), steady_(steady), want_cov_(want_cov || want_pairs),
        want_pairs_(want_pairs), n_(system.n), r0_(count(n_), 0.0), r1_(r0_), later_r_(r0_),
        N0_(count(n_ * n_), 0.0), N1_(N0_), N2_(N0_), work_(count(n_ * n_)), other_(count(n_ * n_)),
        row_(count(n_)) {
    if (!steady_.usable)
      return;
    if (!want_cov_)
      return;
    // C' S^-1 C, from the whitened rows.
    const index p = system.p;
    buffer white(count(p * n_));
    small::multiply(p, p, n_, steady.whiten.data(), system.C.data(), white.data());
    information_.resize(count(n_ * n_));
    small::multiply_left_transposed(n_, p, n_, white.data(), white.data(), information_.data());
    limit_ = adjoint_sum(n_, steady.F, information_);
    free_ = decorrelate(system);
  }

  // The weighted sum of what later observations say: smoothed mean = m + P r.
  buffer &weights() { return r0_; }

  // The covariance part of one step back under the constant gain.
  void steady_step() {
    if (want_pairs_)
      remember(steady_.F, free_.A, free_.Q);
    if (settled_)
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
    later_r_ = r0_;
    noises_.assign(count(rows.n_rows), 0.0);
    if (want_pairs_)
      remember(rows.transition(), rows.transition(), rows.state_noise());
    transition(rows.transition(), diffuse);
    step.update(state, rows, &trace_);
    for (index i = rows.n_rows - 1; i >= 0; --i) {
      const scalar_update &u = trace_[count(i)];
      const double *z = rows.loadings.data() + i * n_;
      noises_[count(i)] = rows.noise[count(i)] * weighted_innovation(u);
      if (u.used && u.diffuse_variance > 0)
        absorb(u, z);
      else if (u.used)
        condition(u, z, diffuse);
    }
  }

  // N is its steady value, so that every step of this kind before is like this one.
  bool settled() const { return settled_; }

  // After a full step: means of its noises, w (n) and v (p).
  void noise_means(const observed_rows &rows, const noise_split &split, double *w, double *v) {
    const index m = rows.n_rows, p = system_.p;
    small::apply(n_, n_, rows.state_noise().data(), later_r_.data(), w);
    for (index i = 0; i < n_ && rows.correlated(); ++i)
      w[i] += small::dot(m, rows.carried().data() + i * m, noises_.data());
    for (index k = 0; k < p; ++k)
      v[k] = small::dot(m, split.spread.data() + k * m, noises_.data()) +
             small::dot(n_, split.rest_with_e.data() + k * n_, later_r_.data());
  }

  // Prepares what follows: Cov(e, x_t | all) = -Q link for the part e of the state noise that the
  // row does not tell, with link = N F P: F leads from the prediction of t to that of t + 1, and
  // with diffuse directions F0 P + ... is the finite part of the limit.
  void link(const buffer &P, const buffer &P_diffuse) {
    buffer weighted(count(n_ * n_));
    link_.assign(count(n_ * n_), 0.0);
    const auto add_term = [&](const buffer &N, const buffer &F, const buffer &cov) {
      small::multiply(n_, n_, n_, N.data(), F.data(), work_.data());
      small::multiply(n_, n_, n_, work_.data(), cov.data(), weighted.data());
      add(link_, weighted);
    };
    add_term(later_N0_, F0_, P);
    if (!P_diffuse.empty()) {
      add_term(later_N0_, F1_, P_diffuse);
      // N1 leaves out a term that vanishes where P_infinity stands on its left, as in `covariance`;
      // here it stands on the right, and the transpose has that term.
      buffer turned(later_N1_);
      for (index i = 0; i < n_; ++i)
        for (index j = 0; j < n_; ++j)
          turned[count(i * n_ + j)] = later_N1_[count(j * n_ + i)];
      add_term(turned, F0_, P_diffuse);
    }
  }

  // Cov(x_t+1, x_t | all) = A V + Cov(e, x_t | all).
  buffer lag(const buffer &V) {
    buffer out(count(n_ * n_));
    small::multiply(n_, n_, n_, step_noise_.data(), link_.data(), work_.data());
    small::multiply(n_, n_, n_, step_transition_.data(), V.data(), out.data());
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] -= work_[i];
    return out;
  }

  // Var(w | all): the observed noises are known up to the state, w - E w = e - (A - A') (x - E x).
  buffer state_noise_cov(const buffer &V) {
    buffer shift(system_.A);
    for (std::size_t i = 0; i < shift.size(); ++i)
      shift[i] -= step_transition_[i];
    return noise_cov(n_, step_noise_, step_noise_, shift, V);
  }

  buffer obs_noise_cov(const observed_rows &rows, const noise_split &split, const buffer &V) {
    buffer shift(count(system_.p * n_));
    small::multiply(system_.p, rows.n_rows, n_, split.spread.data(), rows.loadings.data(),
                    shift.data());
    return noise_cov(system_.p, split.rest, split.rest_with_e, shift, V);
  }

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
    clean(n_, out);
    return out;
  }

private:
  // Rounding may leave what is known exactly with a variance below zero.
  static void clean(index m, buffer &cov) {
    small::symmetrise(m, cov.data());
    for (index i = 0; i < m; ++i)
      if (!(cov[count(i * (m + 1))] > 0))
        for (index j = 0; j < m; ++j)
          cov[count(i * m + j)] = cov[count(j * m + i)] = 0;
  }

  // F^-1 v - K'r of a number, before r has taken it in.
  double weighted_innovation(const scalar_update &u) const {
    if (!u.used)
      return 0;
    if (u.diffuse_variance > 0)
      return -small::dot(n_, u.diffuse_covariance.data(), r0_.data()) / u.diffuse_variance;
    return (u.innovation - small::dot(n_, u.covariance.data(), r0_.data())) / u.variance;
  }

  // Variance given all of `part - shift (x - E x)`, where `part` (m numbers) depends on later
  // observations through e only: `own` is its variance and `with_e` its covariance with e.
  buffer noise_cov(index m, const buffer &own, const buffer &with_e, const buffer &shift,
                   const buffer &V) {
    buffer out(own), left(count(m * n_)), square(count(m * m));
    const auto subtract_square = [&](double scale, const buffer &a, const buffer &b) {
      small::multiply_right_transposed(m, n_, m, a.data(), b.data(), square.data());
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] -= scale * square[i];
    };
    small::multiply(m, n_, n_, with_e.data(), later_N0_.data(), left.data());
    subtract_square(1, left, with_e);
    small::multiply(m, n_, n_, shift.data(), V.data(), left.data());
    subtract_square(-1, left, shift);
    small::multiply(m, n_, n_, with_e.data(), link_.data(), left.data());
    subtract_square(-2, left, shift); // twice one of two that are each other's transpose
    clean(m, out);
    return out;
  }

  // What `lag` needs of this step, before it is taken.
  void remember(const buffer &F, const buffer &A, const buffer &Q) {
    F0_ = F;
    F1_.assign(F.size(), 0.0);
    step_transition_ = A;
    step_noise_ = Q;
    later_N0_ = N0_;
    later_N1_ = N1_;
  }

  void compose(const buffer &L) {
    for (buffer *F : {&F0_, &F1_}) {
      small::multiply(n_, n_, n_, F->data(), L.data(), work_.data());
      *F = work_;
    }
  }

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
    // (I - z k') r + z v / F.
    const double weight = weighted_innovation(u);
    const double along = diffuse ? small::dot(n_, u.covariance.data(), r1_.data()) : 0;
    for (index i = 0; i < n_; ++i) {
      r0_[count(i)] += z[i] * weight;
      r1_[count(i)] -= z[i] * (along / u.variance);
    }
    if (!want_cov_)
      return;
    const buffer L = reduction(u.covariance, u.variance, z);
    if (want_pairs_)
      compose(L);
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
    if (want_pairs_) {
      buffer F_slope(count(n_)); // F0 L1 = -F0 slope z'
      small::apply(n_, n_, F0_.data(), slope.data(), F_slope.data());
      compose(L0);
      add_outer(n_, -1, F_slope.data(), z, F1_);
    }
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
  bool want_cov_, want_pairs_, settled_ = false;
  index n_;
  buffer r0_, r1_, later_r_, N0_, N1_, N2_, work_, other_, row_;
  buffer noises_, link_;
  buffer information_, limit_;
  decorrelated free_;
  buffer F0_, F1_, step_transition_, step_noise_, later_N0_, later_N1_;
  std::vector<scalar_update> trace_;
};

} // namespace eigenflow::lds
