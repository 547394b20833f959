// SPDX-License-Identifier: BSD-3-Clause
// The steady covariance in twice the digits. Doubling in double loses eps / (1 - radius) of P: the
// powers of a filter that hardly forgets are ones with the interesting part in their last digits.
#pragma once

#include "lds_model.hpp"

namespace eigenflow::lds {

// The predicted covariance for a system without cross noise, correctly rounded but for the last
// bits as long as 1 - radius is above 1e-14; empty where the doubling leaves the range of double
// or meets a singular innovation covariance. Cost: some 400 n^3 flops a doubling, up to 60 of them.
buffer wide_doubling(const dense_model &system);

} // namespace eigenflow::lds
