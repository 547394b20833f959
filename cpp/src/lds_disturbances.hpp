// SPDX-License-Identifier: BSD-3-Clause
// The noises of a step, as far as its own row and later ones tell them.
#pragma once

#include "lds_steady.hpp"

namespace eigenflow::lds {

// v = spread u + rest and w = carried u + e, with u the independent noises of the rotated observed
// numbers, of which neither `rest` (of what is missing) nor e depends.
class noise_split {
public:
  explicit noise_split(const dense_model &system) : system_(system) {}
  void read(const observed_rows &rows);

  buffer spread;      // p x n_rows
  buffer rest;        // its covariance, p x p
  buffer rest_with_e; // and that with e, p x n

private:
  const dense_model &system_;
  index seen_ = -1;
};

// Under the constant gain, [w; v] = weights_v innovation + weights_r r, with r what later rows say
// about the next state.
struct steady_noises {
  buffer weights_v, weights_r; // (n + p) x p and (n + p) x n
  steady_noises(const dense_model &system, const steady_filter &steady);
};

} // namespace eigenflow::lds
