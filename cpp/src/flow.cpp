// SPDX-License-Identifier: BSD-3-Clause
#include "flow_tiles.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/hd/flow_point.hpp>
#include <eigenflow/parallel.hpp>

#include <cmath>
#include <limits>
#include <string>

namespace eigenflow::flow {
namespace {

// All fields of one tile in double, [time][coordinate]; only what is wanted has memory.
struct tile_fields {
  std::vector<double> theta, residual, a, b, beta, eigenvalue, d_z, d_lambda, d_b0, d_t;

  template <class T> tile_fields(const fields<T> &wanted, index size) {
    const auto make = [size](std::vector<double> &v, bool want) {
      if (want)
        v.resize(static_cast<std::size_t>(size));
    };
    const bool any_state = wanted.a != nullptr || wanted.b != nullptr || wanted.beta != nullptr;
    make(theta, true);
    make(residual, true);
    make(a, any_state);
    make(b, any_state);
    make(beta, any_state);
    make(eigenvalue, any_state || wanted.learned_eigenvalues != nullptr);
    make(d_z, true);
    make(d_lambda, wanted.d_eigenvalues != nullptr || wanted.d_times != nullptr);
    make(d_b0, wanted.d_b0 != nullptr);
    make(d_t, wanted.d_eigenvalues != nullptr || wanted.d_times != nullptr);
  }
};

double *pointer(std::vector<double> &v) { return v.empty() ? nullptr : v.data(); }

void closed_tile_fields(const isa::flow_tile &tile, const isa::flow_times &times, tile_fields &f) {
  for (index i = 0; i < times.n; ++i) {
    const index at = times.row[i] * tile.n;
    isa::flow().closed_fields(tile, times.t[i], &f.theta[0] + at, &f.residual[0] + at,
                              &f.d_z[0] + at);
    if (!f.d_t.empty())
      isa::flow().closed_derivatives(tile, times.t[i], &f.theta[0] + at, &f.d_lambda[0] + at,
                                     &f.d_t[0] + at);
    if (!f.eigenvalue.empty())
      isa::flow().closed_eigenvalue(&f.theta[0] + at, tile.lambda, tile.n, &f.eigenvalue[0] + at);
    for (index j = 0; j < tile.n && !f.a.empty(); ++j) {
      const auto k = static_cast<std::size_t>(at + j);
      f.a[k] = std::sqrt(f.eigenvalue[k]);
      f.b[k] = 1;
      f.beta[k] = f.a[k] > 0 ? f.theta[k] / f.a[k] : 0;
    }
  }
}

void march_tile_fields(const options &opts, const isa::flow_tile &tile,
                       const isa::flow_times &times, bool with_d_z, tile_fields &f) {
  const double rate = b_rate(opts);
  isa::flow().march(opts.depth, rate, tile, times,
                    {pointer(f.theta), pointer(f.residual), pointer(f.beta), pointer(f.eigenvalue),
                     with_d_z ? pointer(f.d_z) : nullptr, pointer(f.d_lambda), pointer(f.d_b0),
                     pointer(f.d_t), tile.n});
  const auto size = static_cast<std::size_t>(times.n * tile.n);
  for (std::size_t k = 0; k < size; ++k) {
    const auto j = static_cast<index>(k) % tile.n;
    const bool stuck = tile.lambda[j] == 0 || tile.b0[j] == 0;
    if (!f.a.empty()) {
      const auto [a, b] = hd::march_factors(tile.lambda[j], tile.b0[j], f.beta[k], rate);
      f.a[k] = a;
      f.b[k] = b;
    }
    if (stuck && !f.eigenvalue.empty())
      f.eigenvalue[k] = 0;
  }
}

template <class T>
void store(const std::vector<double> &from, index n_times, index n, T *to, index begin,
           index total) {
  if (to == nullptr)
    return;
  for (index i = 0; i < n_times; ++i) {
    const double *row = from.data() + i * n;
    T *out = to + i * total + begin;
    if constexpr (std::is_same_v<T, float>)
      isa::flow().narrow(row, n, out);
    else
      std::copy(row, row + n, out);
  }
}

// Results of double that need theta only go straight to their place.
bool solve_in_place(const options &opts, const isa::flow_tile &tile, const isa::flow_times &times,
                    const fields<double> &out, index begin, index total) {
  if (out.residual != nullptr || out.a != nullptr || out.b != nullptr || out.beta != nullptr ||
      out.learned_eigenvalues != nullptr || out.d_z != nullptr || out.d_eigenvalues != nullptr ||
      out.d_b0 != nullptr || out.d_times != nullptr)
    return false;
  if (out.theta == nullptr)
    return true;
  if (opts.depth > 0) {
    isa::flow_fields theta_only;
    theta_only.theta = out.theta + begin;
    theta_only.stride = total;
    isa::flow().march(opts.depth, b_rate(opts), tile, times, theta_only);
    return true;
  }
  for (index i = 0; i < times.n; ++i)
    isa::flow().closed_theta(tile, times.t[i], out.theta + times.row[i] * total + begin);
  return true;
}

// The largest float stands for more, as the largest double does.
void bound_to_float(std::vector<double> &values) {
  constexpr double most = std::numeric_limits<float>::max();
  for (double &x : values)
    x = std::clamp(x, -most, most);
}

template <class T>
void evolve_tile(const options &opts, const isa::flow_tile &tile, const isa::flow_times &times,
                 const fields<T> &out, index begin, index total) {
  if constexpr (std::is_same_v<T, double>) {
    if (solve_in_place(opts, tile, times, out, begin, total))
      return;
  }
  tile_fields f(out, times.n * tile.n);
  if (opts.depth == 0)
    closed_tile_fields(tile, times, f);
  else
    march_tile_fields(opts, tile, times, out.d_z != nullptr, f);
  if constexpr (std::is_same_v<T, float>)
    for (std::vector<double> *slopes : {&f.d_lambda, &f.d_b0, &f.d_t})
      bound_to_float(*slopes);
  store(f.theta, times.n, tile.n, out.theta, begin, total);
  store(f.residual, times.n, tile.n, out.residual, begin, total);
  store(f.a, times.n, tile.n, out.a, begin, total);
  store(f.b, times.n, tile.n, out.b, begin, total);
  store(f.beta, times.n, tile.n, out.beta, begin, total);
  store(f.eigenvalue, times.n, tile.n, out.learned_eigenvalues, begin, total);
  store(f.d_z, times.n, tile.n, out.d_z, begin, total);
  store(f.d_lambda, times.n, tile.n, out.d_eigenvalues, begin, total);
  store(f.d_b0, times.n, tile.n, out.d_b0, begin, total);
  store(f.d_t, times.n, tile.n, out.d_times, begin, total);
}

// Calls body(begin, n, inputs) on tiles of all coordinates, on all workers.
template <class T, class Body>
void for_tiles(const options &opts, const coordinates<T> &in, bool with_b0, index tile,
               index n_times, Body &&body) {
  const auto chunk = [&](index begin, index end, int) {
    tile_inputs<T> inputs(in, with_b0);
    for (index at = begin; at < end; at += tile) {
      const index n = std::min(tile, end - at);
      body(at, inputs.load(at, n));
    }
  };
  parallel_for(in.z.rows * in.z.cols, grain_of(tile, n_times), chunk, opts.workers);
}

} // namespace

template <class T>
void evolve(const options &opts, const coordinates<T> &in, vector_view<const double> times,
            const fields<T> &out) {
  check(opts, in, opts.depth > 0);
  check(times);
  if (times.size == 0)
    return;
  const sorted_times sorted(times);
  const index total = in.z.rows * in.z.cols;
  for_tiles(opts, in, opts.depth > 0, opts.depth == 0 ? closed_tile : march_tile, times.size,
            [&](index begin, const isa::flow_tile &tile) {
              evolve_tile(opts, tile, sorted.view(), out, begin, total);
            });
}

template <class T>
void vanilla(const options &opts, const coordinates<T> &in, vector_view<const double> times,
             T *theta) {
  check(opts, in, false);
  check(times);
  const index total = in.z.rows * in.z.cols;
  for_tiles(opts, in, false, closed_tile, times.size, [&](index begin, const isa::flow_tile &tile) {
    double buffer[closed_tile];
    for (index i = 0; i < times.size; ++i) {
      T *out = theta + i * total + begin;
      if constexpr (std::is_same_v<T, double>) {
        isa::flow().vanilla(tile, times[i], out);
      } else {
        isa::flow().vanilla(tile, times[i], buffer);
        isa::flow().narrow(buffer, tile.n, out);
      }
    }
  });
}

template <class T> void learned_eigenvalues(const options &opts, const coordinates<T> &in, T *out) {
  check(opts, in, opts.depth > 0);
  for_tiles(opts, in, opts.depth > 0, closed_tile, 1, [&](index begin, const isa::flow_tile &tile) {
    double buffer[closed_tile];
    if (opts.depth == 0)
      isa::flow().closed_eigenvalue(tile.z, tile.lambda, tile.n, buffer);
    else
      isa::flow().march_eigenvalue(opts.depth, b_rate(opts), tile, buffer);
    for (index i = 0; i < tile.n; ++i)
      out[begin + i] = static_cast<T>(buffer[i]);
  });
}

#define EF_INSTANTIATE(T)                                                                          \
  template void evolve(const options &, const coordinates<T> &, vector_view<const double>,         \
                       const fields<T> &);                                                         \
  template void vanilla(const options &, const coordinates<T> &, vector_view<const double>, T *);  \
  template void learned_eigenvalues(const options &, const coordinates<T> &, T *);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::flow
