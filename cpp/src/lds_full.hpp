// SPDX-License-Identifier: BSD-3-Clause
// Steps of the filter with its covariance, many at a time: for one observed number that is there.
#pragma once

#include "isa/lds_full.hpp"
#include "lds_model.hpp"

#include <optional>

namespace eigenflow::lds {

class full_run {
public:
  // None where steps must be made one by one: other sizes and forms, inputs, correlated noises,
  // stored covariances, or matrices that are not row-major.
  static std::optional<full_run> plan(const model_cursor &system, matrix_view<const double> y,
                                      const filter_outputs &out, const filter_options &options,
                                      update_form form);

  // Makes steps from `t` to at most `end` and returns where it stopped: at a step that is not for
  // it, or that leaves the range of double.
  index advance(index t, index end, belief &state, double &log_likelihood) const;

private:
  isa::lds_full_run rows_at(index t) const;
  index n_ = 0;
  isa::lds_full_run rows_{};
  buffer zeros_;
  vector_view<double> terms_;
};

} // namespace eigenflow::lds
