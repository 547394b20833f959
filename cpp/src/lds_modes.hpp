// SPDX-License-Identifier: BSD-3-Clause
// The steady filter of one observed number in the coordinates of its modes, where a step costs two
// multiplications a state instead of n + 2.
#pragma once

#include "isa/lds_squares.hpp"
#include "lds_steady.hpp"

#include <optional>

namespace eigenflow::lds {

struct modal_filter {
  index n_real, n_pairs;
  buffer real, pairs, weights; // as in isa::lds_modes
  buffer enter, leave;         // z = enter x, x = leave z
  double offset = 0;           // of the observed number
  isa::lds_modes view() const {
    return {n_real, n_pairs, real.data(), pairs.data(), weights.data(), offset};
  }
};

// None where the modes are so close to each other that rounding would show: the answers to one
// observation are compared over the steps that the filter remembers.
std::optional<modal_filter> find_modes(const dense_model &system, const steady_filter &f);

} // namespace eigenflow::lds
