// SPDX-License-Identifier: BSD-3-Clause
#include "lds_full.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace eigenflow::lds {
namespace {

constexpr index tile_steps = 64;
const double log_two_pi = std::log(2 * std::numbers::pi);

bool packed(const matrix_view<const double> &m) {
  return (m.cols == 1 || m.col_stride == 1) && (m.rows == 1 || m.row_stride == m.cols);
}

bool finite(const buffer &a) {
  return std::all_of(a.begin(), a.end(), [](double x) { return std::isfinite(x); });
}

} // namespace

std::optional<full_run> full_run::plan(const model_cursor &system, matrix_view<const double> y,
                                       const filter_outputs &out, const filter_options &options,
                                       update_form form) {
  const model &m = system.source();
  const dense_model &now = system.now();
  const bool stores =
      options.store_predicted_cov || options.store_filtered_cov || options.store_innovation_cov;
  const auto rows_fit = [](const matrix_view<double> &r) {
    return r.rows == 0 || r.cols == 1 || r.col_stride == 1;
  };
  const bool one_by_one =
      now.p != 1 || !isa::lds_full().knows(now.n) || form != update_form::joseph || stores ||
      !now.S.empty() || system.inputs().rows > 0 || !packed(m.transition) ||
      !packed(m.observation) || !packed(m.state_noise) || !rows_fit(out.filtered_mean) ||
      !rows_fit(out.predicted_mean) || (m.state_offset.size > 0 && m.state_offset.stride != 1);
  if (one_by_one)
    return std::nullopt;
  full_run run;
  run.n_ = now.n;
  run.terms_ = out.log_likelihood_terms;
  run.zeros_.assign(count(now.n), 0.0);
  const auto result = [](const matrix_view<double> &r) {
    return isa::lds_results{r.rows > 0 ? r.data : nullptr, r.row_stride};
  };
  const auto offset = [](const vector_view<const double> &v, index step) {
    return v.size > 0 ? isa::lds_rows{v.data, step} : isa::lds_rows{nullptr, 0};
  };
  const model_strides &step = m.step;
  run.rows_ = {{m.transition.data, step.transition},
               {m.observation.data, step.observation},
               {m.state_noise.data, step.state_noise},
               {m.obs_noise.data, step.obs_noise},
               offset(m.state_offset, step.state_offset),
               offset(m.obs_offset, step.obs_offset),
               {y.data, y.row_stride},
               result(out.filtered_mean),
               result(out.predicted_mean),
               result(out.innovations)};
  return run;
}

isa::lds_full_run full_run::rows_at(index t) const {
  isa::lds_full_run rows = rows_;
  for (isa::lds_rows *r : {&rows.A, &rows.C, &rows.Q, &rows.R, &rows.c, &rows.d, &rows.y})
    r->at = r->at == nullptr ? zeros_.data() : r->at + t * r->step;
  for (isa::lds_results *r : {&rows.filtered, &rows.predicted, &rows.innovations})
    r->at = r->at == nullptr ? nullptr : r->at + t * r->step;
  return rows;
}

index full_run::advance(index t, index end, belief &state, double &log_likelihood) const {
  double variances[tile_steps], squares[tile_steps];
  while (t < end && state.n_diffuse == 0) {
    const index wanted = std::min(tile_steps, end - t);
    belief next = state;
    const index steps = isa::lds_full().run(n_, rows_at(t), wanted, next.mean.data(),
                                            next.cov.data(), variances, squares);
    if (!finite(next.mean) || !finite(next.cov))
      break; // step by step, it will be found where
    for (index s = 0; s < steps; ++s) {
      const double term = -0.5 * (log_two_pi + std::log(variances[s]) + squares[s]);
      log_likelihood += term;
      if (terms_.size > 0)
        terms_[t + s] = term;
    }
    std::swap(state, next);
    t += steps;
    if (steps < wanted)
      break;
  }
  return t;
}

} // namespace eigenflow::lds
