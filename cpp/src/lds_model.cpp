// SPDX-License-Identifier: BSD-3-Clause
#include "lds_model.hpp"

#include <eigenflow/errors.hpp>

namespace eigenflow::lds {
namespace {

void check_shapes(const model &m) {
  const index n = m.transition.rows, p = m.observation.rows;
  const bool chain = n > 0 && p > 0 && m.transition.cols == n && m.observation.cols == n &&
                     m.state_noise.rows == n && m.state_noise.cols == n && m.obs_noise.rows == p &&
                     m.obs_noise.cols == p;
  require(chain, "system: want shapes A (n, n), C (p, n), Q (n, n), R (p, p) with n, p >= 1");
  require(m.state_offset.size == 0 || m.state_offset.size == n, "state_offset: want n numbers");
  require(m.obs_offset.size == 0 || m.obs_offset.size == p, "obs_offset: want p numbers");
  require(m.cross_noise.rows == 0 || (m.cross_noise.rows == n && m.cross_noise.cols == p),
          "cross_noise: want n x p");
}

void check_inputs(const model &m, matrix_view<const double> inputs) {
  const index n = m.transition.rows, p = m.observation.rows;
  const auto fits = [&](matrix_view<const double> a, index rows) {
    return a.rows == 0 || (a.rows == rows && a.cols == inputs.cols && inputs.cols > 0);
  };
  require(fits(m.state_input, n) && fits(m.obs_input, p),
          "inputs: want state_input (n x m), obs_input (p x m) and one column of inputs for each");
}

matrix_view<const double> later(matrix_view<const double> a, index elements) {
  a.data += elements;
  return a;
}

vector_view<const double> later(vector_view<const double> a, index elements) {
  a.data += elements;
  return a;
}

void load(matrix_view<const double> a, buffer &out) {
  for (index i = 0; i < a.rows; ++i)
    for (index j = 0; j < a.cols; ++j)
      out[count(i * a.cols + j)] = a(i, j);
}

void add_input(matrix_view<const double> matrix, vector_view<const double> u, double *out) {
  for (index i = 0; i < matrix.rows; ++i)
    for (index j = 0; j < matrix.cols; ++j)
      out[i] += matrix(i, j) * u[j];
}

} // namespace

dense_model::dense_model(const model &system)
    : n((check_shapes(system), system.transition.rows)), p(system.observation.rows),
      A(small::packed(system.transition)), C(small::packed(system.observation)),
      Q(small::packed(system.state_noise)), R(small::packed(system.obs_noise)),
      S(small::packed(system.cross_noise)), c(small::packed(system.state_offset, n)),
      d(small::packed(system.obs_offset, p)) {
  if (small::norm(S) == 0 && system.step.cross_noise == 0)
    S.clear();
}

// R = L D L' with unit lower L; J = S L^-T D^+ L^-1.
decorrelated decorrelate(const dense_model &s) {
  decorrelated out{s.A, s.Q, {}};
  if (s.S.empty())
    return out;
  const index n = s.n, p = s.p;
  buffer lower, pivots;
  small::unit_factor(p, s.R.data(), lower, pivots);
  buffer turned(s.S); // S L^-T
  out.J.assign(count(n * p), 0.0);
  for (index i = 0; i < n; ++i) {
    double *row = turned.data() + i * p;
    for (index k = 0; k < p; ++k)
      row[k] -= small::dot(k, lower.data() + k * p, row);
    double *gain = out.J.data() + i * p;
    for (index k = p - 1; k >= 0; --k) {
      gain[k] = pivots[count(k)] > 0 ? row[k] / pivots[count(k)] : 0.0;
      for (index j = k + 1; j < p; ++j)
        gain[k] -= lower[count(j * p + k)] * gain[j];
    }
  }
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j) {
      for (index k = 0; k < p; ++k) {
        out.A[count(i * n + j)] -= out.J[count(i * p + k)] * s.C[count(k * n + j)];
        if (pivots[count(k)] > 0)
          out.Q[count(i * n + j)] -=
              turned[count(i * p + k)] / pivots[count(k)] * turned[count(j * p + k)];
      }
    }
  small::clean_covariance(n, s.Q.data(), out.Q.data());
  return out;
}

model_cursor::model_cursor(const model &system, matrix_view<const double> inputs)
    : system_(system), inputs_(inputs), now_(system) {
  check_inputs(system, inputs);
  const model_strides &s = system.step;
  constant_ = s.transition == 0 && s.observation == 0 && s.state_noise == 0 && s.obs_noise == 0 &&
              s.cross_noise == 0;
  fixed_offsets_ =
      s.state_offset == 0 && s.obs_offset == 0 &&
      (inputs.rows == 0 || (system.state_input.rows == 0 && system.obs_input.rows == 0));
  if (!fixed_offsets_ && inputs.rows > 0)
    offsets(0, now_.c.data(), now_.d.data());
}

void model_cursor::seek(index t) {
  if (t == at_)
    return;
  at_ = t;
  const model_strides &s = system_.step;
  if (!constant_) {
    const auto move = [&](matrix_view<const double> a, index stride, buffer &out) {
      if (stride != 0)
        load(later(a, t * stride), out);
    };
    move(system_.transition, s.transition, now_.A);
    move(system_.observation, s.observation, now_.C);
    move(system_.state_noise, s.state_noise, now_.Q);
    move(system_.obs_noise, s.obs_noise, now_.R);
    move(system_.cross_noise, s.cross_noise, now_.S);
    ++now_.version;
  }
  if (!fixed_offsets_)
    offsets(t, now_.c.data(), now_.d.data());
}

void model_cursor::offsets(index t, double *state_offset, double *obs_offset) const {
  const model_strides &s = system_.step;
  const auto c = later(system_.state_offset, t * s.state_offset);
  const auto d = later(system_.obs_offset, t * s.obs_offset);
  for (index i = 0; i < now_.n; ++i)
    state_offset[i] = c.size > 0 ? c[i] : 0.0;
  for (index k = 0; k < now_.p; ++k)
    obs_offset[k] = d.size > 0 ? d[k] : 0.0;
  if (inputs_.rows == 0)
    return;
  add_input(later(system_.state_input, t * s.state_input), inputs_.row(t), state_offset);
  add_input(later(system_.obs_input, t * s.obs_input), inputs_.row(t), obs_offset);
}

} // namespace eigenflow::lds
