// SPDX-License-Identifier: BSD-3-Clause
// The fields of one tile at a few times, in double, between the kernels and results of any type.
#pragma once

#include "flow_tiles.hpp"

#include <eigenflow/hd/flow_point.hpp>

#include <cmath>

namespace eigenflow::flow {

// A march costs as much as some eight points, so starting again for every 64 times costs 12 %.
inline constexpr index times_at_once = 64;

inline index tile_of(const options &opts) { return opts.depth == 0 ? closed_tile : march_tile; }
inline index times_of(const options &opts) { return opts.depth == 0 ? 1 : times_at_once; }

// [time][coordinate]; only what is wanted has memory, some 600 KiB if everything is.
struct tile_fields {
  std::vector<double> theta, residual, a, b, beta, eigenvalue, d_z, d_lambda, d_b0, d_t;

  template <class T> tile_fields(const options &opts, const fields<T> &wanted, index n_times) {
    const index size = tile_of(opts) * std::min(times_of(opts), n_times);
    const auto make = [size](std::vector<double> &v, bool want) {
      if (want)
        v.resize(static_cast<std::size_t>(size));
    };
    const bool any_state = wanted.a != nullptr || wanted.b != nullptr || wanted.beta != nullptr;
    const bool closed = opts.depth == 0; // whose kernels write several fields at once
    const bool slopes = wanted.d_eigenvalues != nullptr || wanted.d_times != nullptr;
    make(theta, closed || wanted.theta != nullptr);
    make(residual, closed || wanted.residual != nullptr);
    make(a, wanted.a != nullptr || (closed && any_state));
    make(b, wanted.b != nullptr);
    make(beta, any_state);
    make(eigenvalue, (closed && any_state) || wanted.learned_eigenvalues != nullptr);
    make(d_z, closed || wanted.d_z != nullptr);
    make(d_lambda, closed ? slopes : wanted.d_eigenvalues != nullptr);
    make(d_b0, wanted.d_b0 != nullptr);
    make(d_t, closed ? slopes : wanted.d_times != nullptr);
  }
};

inline double *pointer(std::vector<double> &v) { return v.empty() ? nullptr : v.data(); }

inline void closed_fields_at(const isa::flow_tile &tile, double t, tile_fields &f) {
  isa::flow().closed_fields(tile, t, f.theta.data(), f.residual.data(), f.d_z.data());
  if (!f.d_t.empty())
    isa::flow().closed_derivatives(tile, t, f.theta.data(), f.d_lambda.data(), f.d_t.data());
  if (!f.eigenvalue.empty())
    isa::flow().closed_eigenvalue(f.theta.data(), tile.lambda, tile.n, f.eigenvalue.data());
  std::fill(f.b.begin(), f.b.end(), 1.0);
  for (index j = 0; j < tile.n && !f.a.empty(); ++j) {
    const auto k = static_cast<std::size_t>(j);
    f.a[k] = std::sqrt(f.eigenvalue[k]);
    f.beta[k] = f.a[k] > 0 ? f.theta[k] / f.a[k] : 0;
  }
}

// a and b from beta, which a or b may hold; null is not wanted.
inline void complete_state(const options &opts, const isa::flow_tile &tile, const double *beta,
                           double *a, double *b) {
  const double rate = b_rate(opts);
  for (index j = 0; j < tile.n; ++j) {
    const auto [of_a, of_b] = hd::march_factors(tile.lambda[j], tile.b0[j], beta[j], rate);
    if (a != nullptr)
      a[j] = of_a;
    if (b != nullptr)
      b[j] = of_b;
  }
}

inline void march_fields_at(const options &opts, const isa::flow_tile &tile, const double *times,
                            index n_times, tile_fields &f) {
  std::int64_t row[times_at_once];
  std::iota(row, row + n_times, std::int64_t{0});
  isa::flow().march(opts.depth, b_rate(opts), tile, {times, row, n_times},
                    {pointer(f.theta), pointer(f.residual), pointer(f.beta), pointer(f.eigenvalue),
                     pointer(f.d_z), pointer(f.d_lambda), pointer(f.d_b0), pointer(f.d_t), tile.n});
  const auto at = [&](std::vector<double> &v, index i) {
    return v.empty() ? nullptr : v.data() + i * tile.n;
  };
  for (index i = 0; i < n_times && !f.beta.empty(); ++i)
    complete_state(opts, tile, at(f.beta, i), at(f.a, i), at(f.b, i));
}

// Calls use(row, offset) for each time: where its results go, and where its fields start.
template <class Use>
void for_times(const options &opts, const isa::flow_tile &tile, const isa::flow_times &times,
               tile_fields &f, Use &&use) {
  const index step = times_of(opts);
  for (index first = 0; first < times.n; first += step) {
    const index n = std::min<index>(step, times.n - first);
    if (opts.depth == 0)
      closed_fields_at(tile, times.t[first], f);
    else
      march_fields_at(opts, tile, times.t + first, n, f);
    for (index i = 0; i < n; ++i)
      use(times.row[first + i], i * tile.n);
  }
}

} // namespace eigenflow::flow
