// SPDX-License-Identifier: BSD-3-Clause
#include "flow_tiles.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/hd/flow_hitting.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::flow {
namespace {

constexpr index hitting_tile = 128;

} // namespace

template <class T>
void hitting_time(const options &opts, const coordinates<T> &in,
                  vector_view<const double> fractions, double *out) {
  check(opts, in, opts.depth > 0);
  for (index i = 0; i < fractions.size; ++i)
    require(fractions[i] >= 0 && fractions[i] <= 1, "fraction: want values from 0 to 1");
  const index total = in.z.rows * in.z.cols;
  const auto chunk = [&](index begin, index end, int) {
    tile_inputs<T> inputs(in, opts.depth > 0);
    const isa::flow_tile tile = inputs.load(begin, end - begin);
    for (index i = 0; i < fractions.size; ++i)
      for (index j = 0; j < tile.n; ++j)
        out[i * total + begin + j] =
            hd::hitting_time(fractions[i], tile.z[j], tile.lambda[j],
                             opts.depth > 0 ? tile.b0[j] : 1, opts.depth, b_rate(opts));
  };
  parallel_for(total, opts.depth == 0 ? 16 * hitting_tile : hitting_tile, chunk, opts.workers);
}

template void hitting_time(const options &, const coordinates<float> &, vector_view<const double>,
                           double *);
template void hitting_time(const options &, const coordinates<double> &, vector_view<const double>,
                           double *);

} // namespace eigenflow::flow
