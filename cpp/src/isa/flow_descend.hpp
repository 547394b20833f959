// SPDX-License-Identifier: BSD-3-Clause
// Gradient descent of one level; flow.cpp puts it in its table.
#pragma once

#include "flow.hpp"

namespace eigenflow::isa::EF_LEVEL_NS {

void descend(int depth, double b_rate, const double *z, std::int64_t n, double step,
             std::int64_t n_steps, double *a, double *b, double *beta);

} // namespace eigenflow::isa::EF_LEVEL_NS
