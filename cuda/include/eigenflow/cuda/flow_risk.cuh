// SPDX-License-Identifier: BSD-3-Clause
// Stein's risk estimate on the device, the same bytes for any launch shape: a row of coordinates is
// cut into tiles, eight threads a tile are the eight virtual lanes of its sum, and `sum_parts`
// combines the lanes in a fixed tree.
#pragma once

#include <eigenflow/cuda/flow.cuh>
#include <eigenflow/hd/flow_risk.hpp>

namespace eigenflow::cuda {

// lanes: times x rows x tiles x 8. in.n is rows x cols.
template <class T>
__device__ inline void flow_sure(const coordinates<T> &in, const entries<T> &variance, int depth,
                                 double b_rate, hd::int64 cols, hd::int64 tile,
                                 const flow_times &times, double *lanes) {
  const hd::int64 tiles = (cols + tile - 1) / tile, n_lanes = in.n / cols * tiles * hd::sum_lanes;
  for (hd::int64 at = first_index(); at < n_lanes; at += grid_stride()) {
    for (hd::int64 k = 0; k < times.n; ++k)
      lanes[k * n_lanes + at] = 0;
    const hd::int64 lane = at % hd::sum_lanes, block = at / hd::sum_lanes;
    const hd::int64 row_start = block / tiles * cols, first = block % tiles * tile;
    const hd::int64 end = first + tile < cols ? first + tile : cols;
    for (hd::int64 j = first + lane; j < end; j += hd::sum_lanes) {
      const hd::int64 i = row_start + j;
      const double v = variance[i];
      flow_path<hd::with_z>(start_of(in, i, depth), depth, b_rate, times,
                            [&](hd::int64 row, const hd::flow_point &p) {
                              double &sum = lanes[row * n_lanes + at];
                              sum = hd::add_sure(sum, p.residual, p.d_z, v);
                            });
    }
  }
}

// Each row of `in`, `length` numbers, becomes one sum for every 64 of them.
constexpr int parts_of_a_sum = 64;

__device__ inline void sum_parts(hd::int64 rows, hd::int64 length, const double *in, double *out) {
  const hd::int64 n_sums = (length + parts_of_a_sum - 1) / parts_of_a_sum;
  for (hd::int64 at = first_index(); at < rows * n_sums; at += grid_stride()) {
    const hd::int64 begin = at % n_sums * parts_of_a_sum;
    const hd::int64 end = begin + parts_of_a_sum < length ? begin + parts_of_a_sum : length;
    const double *row = in + at / n_sums * length;
    double lane[hd::sum_lanes] = {};
    for (hd::int64 i = begin; i < end; ++i)
      lane[i % hd::sum_lanes] += row[i];
    out[at] = hd::lane_total(lane);
  }
}

} // namespace eigenflow::cuda
