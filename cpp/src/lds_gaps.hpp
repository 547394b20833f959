// SPDX-License-Identifier: BSD-3-Clause
// What is missing in a series, what is infinite, and what has left the range of double.
#pragma once

#include "lds_model.hpp"

namespace eigenflow::lds {

// Looks for rows with a number that is not finite, ahead of a filter that goes through the series.
class gap_finder {
public:
  gap_finder(matrix_view<const double> y, int workers) : y_(y), workers_(workers) {}
  // The first one in [begin, end), else end. No row is looked at twice.
  index next(index begin, index end);

private:
  matrix_view<const double> y_;
  int workers_;
  index begin_ = 0, clear_ = 0; // rows between them have none,
  bool found_ = false;          // and the next one has
};

bool all_finite(const buffer &a);

bool has_infinity(matrix_view<const double> y, index t);
// Throws for an infinity in row t.
void check_row(matrix_view<const double> y, index t);

[[noreturn]] void refuse_variance(index t);
[[noreturn]] void refuse_mean(index t);

} // namespace eigenflow::lds
