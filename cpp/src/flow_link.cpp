// SPDX-License-Identifier: BSD-3-Clause
// The link function over all coordinates. A scalar loop: a product with a design matrix of n rows
// costs 2 n operations a coordinate beside it, more than the link from n = 100 on.
#include "flow_tiles.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/hd/flow_link.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::flow {
namespace {

constexpr index link_tile = 256;

} // namespace

template <class T>
void link(const options &opts, const coordinates<T> &in, const link_fields<T> &out) {
  check(opts, in, opts.depth > 0);
  const auto chunk = [&](index begin, index end, int) {
    tile_inputs<T> inputs(in, opts.depth > 0);
    const isa::flow_tile tile = inputs.load(begin, end - begin);
    for (index j = 0; j < tile.n; ++j) {
      const hd::link_point at = hd::link_at(
          tile.z[j], tile.lambda[j], opts.depth > 0 ? tile.b0[j] : 1, opts.depth, b_rate(opts));
      if (out.beta != nullptr)
        out.beta[begin + j] = static_cast<T>(at.beta);
      if (out.theta != nullptr)
        out.theta[begin + j] = static_cast<T>(at.theta);
      if (out.rate != nullptr)
        out.rate[begin + j] = static_cast<T>(at.rate);
    }
  };
  parallel_for(in.z.rows * in.z.cols, opts.depth <= 2 ? 8 * link_tile : link_tile, chunk,
               opts.workers);
}

template void link(const options &, const coordinates<float> &, const link_fields<float> &);
template void link(const options &, const coordinates<double> &, const link_fields<double> &);

} // namespace eigenflow::flow
