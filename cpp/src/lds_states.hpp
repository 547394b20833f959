// SPDX-License-Identifier: BSD-3-Clause
// Filtered means alone: written by the kernel that finds them, without a tile between.
#pragma once

#include "isa/lds_states.hpp"
#include "lds_tiles.hpp"

#include <optional>

namespace eigenflow::lds {

class state_rows {
public:
  // None where it does not apply: other sizes or results, offsets that change, correlated noises.
  static std::optional<state_rows> plan(const steady_series &series, const filter_outputs &out);
  // Moves `state`, [4][lane], over `steps` rows of the group from row `offset` of each chunk, and
  // adds squared standardised innovations to `sums`.
  void run(const tiles::input_tile &in, const tiles::group &g, index offset, index steps,
           double *state, double *sums) const;

private:
  isa::lds_state_gain gain_;
  matrix_view<double> out_;
};

} // namespace eigenflow::lds
