// SPDX-License-Identifier: BSD-3-Clause
// Many series of one system, eight side by side: as long as nothing is missing, their covariances
// and gains are the same and are found once.
#pragma once

#include "isa/lds.hpp"
#include "lds_filter.hpp"

#include <functional>
#include <optional>

namespace eigenflow::lds {

class series_lanes {
public:
  static constexpr index width = isa::lds_lanes;

  // None where it does not apply: long series, changing systems, stored covariances, a start with
  // infinite variances, or innovations whose covariance is singular.
  static std::optional<series_lanes> plan(const model_cursor &system, const steady_filter &steady,
                                          const belief &start, const batch &series, index n_steps,
                                          const filter_options &options);

  // Filters the eight series from `first`. Those with gaps, or with a start of their own, go to
  // `alone`.
  void run(const batch &series, index first, const std::function<void(index)> &alone) const;

private:
  series_lanes(const dense_model &system, const steady_filter &steady, const belief &start)
      : system_(system), steady_(steady), start_(start) {}
  using problems = std::vector<problem>;
  bool find_gains(const filter_options &options);
  bool fits(const problem &one) const;
  void gather(const problems &eight, index first, index steps, double *y) const;
  void filter_rows(const problems &eight, double *state, double *squares) const;
  filter_result result_of(double squares) const;

  dense_model system_;
  steady_filter steady_;
  belief start_;
  index n_steps_ = 0;
  bool around_ = false;              // results are written past the cache
  std::vector<steady_filter> gains_; // of the steps before the covariance is steady
  index steady_from_ = -1;
  double log_dets_ = 0, error_ = 0;
  buffer final_cov_;
};

} // namespace eigenflow::lds
