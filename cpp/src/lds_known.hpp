// SPDX-License-Identifier: BSD-3-Clause
// Rows whose gains are known: only the mean moves.
#pragma once

#include "isa/lds_known.hpp"
#include "lds_steady.hpp"

#include <vector>

namespace eigenflow::lds {

// What a whole row does under the steady gain, as isa::lds_known_run wants it.
buffer steady_gain(const dense_model &system, const steady_filter &steady);

// What a row did whose update left `trace`.
buffer gain_of_row(const dense_model &system, const observed_rows &rows,
                   const std::vector<scalar_update> &trace);

} // namespace eigenflow::lds
