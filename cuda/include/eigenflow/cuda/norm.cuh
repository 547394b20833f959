// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <eigenflow/cuda/grid.cuh>

namespace eigenflow::cuda {

// The sum of the squares of every thread's entries, in double precision: one read and no copy of x.
// Four sums a thread keep four loads in flight.
template <class T> __device__ void sums_of_squares(const T *x, hd::int64 n, double *sums) {
  const hd::int64 step = grid_stride();
  double parts[4] = {0, 0, 0, 0};
  hd::int64 i = first_index();
  for (; i + 3 * step < n; i += 4 * step)
    for (int k = 0; k < 4; ++k) {
      const double entry = x[i + k * step];
      parts[k] = hd::fma(entry, entry, parts[k]);
    }
  for (; i < n; i += step)
    parts[0] = hd::fma(static_cast<double>(x[i]), static_cast<double>(x[i]), parts[0]);
  sums[first_index()] = (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

} // namespace eigenflow::cuda
