// SPDX-License-Identifier: BSD-3-Clause
// A run of rows whose gains are found in a cache, taken as one piece.
#pragma once

#include "lds_gains.hpp"
#include "lds_gaps.hpp"

namespace eigenflow::lds {

class known_rows {
public:
  static constexpr index most = 128;

  known_rows(const model_cursor &cursor, matrix_view<const double> y, const filter_outputs &out);

  // Looks up the rows from `begin`, at most `wanted`, as far as they are known; returns how many.
  // `law` is that before row `begin`. Stops before an infinity if `check_finite`, and where the
  // law becomes the steady one if `stop_at_home`.
  index find(gain_cache &gains, gap_finder &gaps, index law, index begin, index wanted,
             bool check_finite, bool stop_at_home);
  // Moves the mean over the rows that were found and writes their results; false where it becomes
  // something that is not finite: then only results have changed.
  bool run(buffer &mean);

  const gain_cache::move &move(index s) const { return *moves_[count(s)]; }
  bool passed_home() const { return passed_home_; }
  double log_likelihood() const { return constants_ - 0.5 * squares_; }

private:
  void take(gain_cache::move *found);
  void read_offsets();
  void write_innovations() const;
  isa::lds_results results_in(matrix_view<double> out, buffer &room) const;
  void copy_out(matrix_view<double> out, const buffer &room) const;

  const model_cursor &cursor_;
  matrix_view<const double> y_;
  const filter_outputs &out_;
  index width_, begin_ = 0, steps_ = 0;
  bool passed_home_ = false;
  double constants_ = 0, squares_ = 0;
  std::vector<const gain_cache::move *> moves_;
  std::vector<const double *> gains_;
  buffer state_offsets_, obs_offsets_; // c and d: one, or one a row where they change
  buffer state_, each_square_, filtered_, predicted_;
};

} // namespace eigenflow::lds
