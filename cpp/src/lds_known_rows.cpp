// SPDX-License-Identifier: BSD-3-Clause
#include "lds_known_rows.hpp"

#include <cmath>
#include <limits>

namespace eigenflow::lds {
namespace {

bool whole_rows(const matrix_view<double> &out) { return out.cols == 1 || out.col_stride == 1; }

} // namespace

known_rows::known_rows(const model_cursor &cursor, matrix_view<const double> y,
                       const filter_outputs &out)
    : cursor_(cursor), y_(y), out_(out), width_(isa::lds_known().width(cursor.now().n)),
      moves_(count(most)), gains_(count(most)), state_(count(2 * width_)) {
  const dense_model &s = cursor.now();
  const index n_offsets = cursor.fixed_offsets() ? 1 : most;
  state_offsets_.resize(count(n_offsets * width_));
  obs_offsets_.resize(count(n_offsets * s.p));
  std::copy(s.c.begin(), s.c.end(), state_offsets_.begin());
  std::copy(s.d.begin(), s.d.end(), obs_offsets_.begin());
  const auto room = [&](const matrix_view<double> &rows) {
    return count(rows.rows > 0 ? most * s.n : 0);
  };
  filtered_.resize(whole_rows(out.filtered_mean) ? 0 : room(out.filtered_mean));
  // Innovations are taken from the predicted means.
  const bool direct = out.predicted_mean.rows > 0 && whole_rows(out.predicted_mean);
  predicted_.resize(direct ? 0 : std::max(room(out.predicted_mean), room(out.innovations)));
  each_square_.resize(count(out.log_likelihood_terms.size > 0 ? most : 0));
}

void known_rows::take(gain_cache::move *found) {
  moves_[count(steps_)] = found;
  gains_[count(steps_++)] = found->gain.data();
  constants_ += found->constant;
  passed_home_ = passed_home_ || found->next == 0;
}

index known_rows::find(gain_cache &gains, gap_finder &gaps, index law, index begin, index wanted,
                       bool check_finite, bool stop_at_home) {
  begin_ = begin;
  steps_ = 0;
  constants_ = 0;
  passed_home_ = law == 0;
  const index end = begin + std::min(wanted, most);
  for (index t = begin; t < end; ++t) {
    const index gap = gaps.next(t, end);
    if (gap == t && check_finite && has_infinity(y_, t))
      break;
    gain_cache::move *next = gains.find(law, gains.pattern(y_.row(t)));
    if (next == nullptr)
      break;
    take(next);
    // Whole rows follow each other without a search.
    for (; t + 1 < gap && !(stop_at_home && next->next == 0); ++t) {
      gain_cache::move *then = gains.whole_after(*next);
      if (then == nullptr)
        break;
      take(next = then);
    }
    law = next->next;
    if (stop_at_home && law == 0)
      break;
  }
  gains.count_found(steps_);
  return steps_;
}

void known_rows::read_offsets() {
  for (index s = 0; s < steps_ && !cursor_.fixed_offsets(); ++s)
    cursor_.offsets(begin_ + s, state_offsets_.data() + s * width_,
                    obs_offsets_.data() + s * y_.cols);
}

isa::lds_results known_rows::results_in(matrix_view<double> out, buffer &room) const {
  if (!room.empty())
    return {room.data(), cursor_.now().n};
  return out.rows > 0 ? isa::lds_results{&out(begin_, 0), out.row_stride}
                      : isa::lds_results{nullptr, 0};
}

void known_rows::copy_out(matrix_view<double> out, const buffer &room) const {
  if (room.empty() || out.rows == 0)
    return;
  for (index s = 0; s < steps_; ++s)
    for (index i = 0; i < out.cols; ++i)
      out(begin_ + s, i) = room[count(s * out.cols + i)];
}

void known_rows::write_innovations() const {
  const dense_model &now = cursor_.now();
  for (index s = 0; s < steps_; ++s)
    for (index k = 0; k < now.p; ++k) {
      double value = std::numeric_limits<double>::quiet_NaN();
      if (!std::isnan(y_(begin_ + s, k))) {
        value =
            y_(begin_ + s, k) - obs_offsets_[count(cursor_.fixed_offsets() ? k : s * now.p + k)];
        for (index i = 0; i < now.n; ++i)
          value -=
              now.C[count(k * now.n + i)] * (predicted_.empty() ? out_.predicted_mean(begin_ + s, i)
                                                                : predicted_[count(s * now.n + i)]);
      }
      out_.innovations(begin_ + s, k) = value;
    }
}

bool known_rows::run(buffer &mean) {
  const index n = cursor_.now().n;
  std::fill(state_.begin(), state_.end(), 0.0);
  std::copy(mean.begin(), mean.end(), state_.begin());
  read_offsets();
  const auto changing = [&](const buffer &rows, index step) {
    return isa::lds_rows{rows.data(), cursor_.fixed_offsets() ? 0 : step};
  };
  squares_ = isa::lds_known().run({n,
                                   y_.cols,
                                   gains_.data(),
                                   {&y_(begin_, 0), y_.row_stride},
                                   y_.col_stride,
                                   changing(state_offsets_, width_),
                                   changing(obs_offsets_, y_.cols),
                                   results_in(out_.filtered_mean, filtered_),
                                   results_in(out_.predicted_mean, predicted_),
                                   each_square_.empty() ? nullptr : each_square_.data()},
                                  steps_, state_.data());
  copy_out(out_.filtered_mean, filtered_);
  copy_out(out_.predicted_mean, predicted_);
  if (out_.innovations.rows > 0)
    write_innovations();
  for (index s = 0; s < steps_ && out_.log_likelihood_terms.size > 0; ++s)
    out_.log_likelihood_terms[begin_ + s] = move(s).constant - 0.5 * each_square_[count(s)];
  const buffer next(state_.begin(), state_.begin() + n);
  const bool finite = all_finite(next);
  mean = next;
  return finite;
}

} // namespace eigenflow::lds
