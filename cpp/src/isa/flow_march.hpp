// SPDX-License-Identifier: BSD-3-Clause
// The marching kernels of one level; flow.cpp puts them in its table.
#pragma once

#include "flow.hpp"

namespace eigenflow::isa::EF_LEVEL_NS {

void march(int depth, double b_rate, const flow_tile &tile, const flow_times &times,
           const flow_fields &out);
void march_eigenvalue(int depth, double b_rate, const flow_tile &tile, double *out);

} // namespace eigenflow::isa::EF_LEVEL_NS
