// SPDX-License-Identifier: BSD-3-Clause
#include "flow_fields.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <atomic>
#include <limits>

namespace eigenflow::flow {
namespace {

template <class T> void store(std::vector<double> &from, index offset, index n, T *to, index at) {
  if (to == nullptr)
    return;
  const double *row = from.data() + offset;
  if constexpr (std::is_same_v<T, float>)
    isa::flow().narrow(row, n, to + at);
  else
    std::copy(row, row + n, to + at);
}

// The largest float stands for more, as the largest double does in the kernels.
template <class T>
void store_slopes(std::vector<double> &from, index offset, index n, T *to, index at) {
  constexpr double most = std::numeric_limits<T>::max();
  for (index i = offset; i < offset + n && to != nullptr && std::is_same_v<T, float>; ++i)
    from[static_cast<std::size_t>(i)] = std::clamp(from[static_cast<std::size_t>(i)], -most, most);
  store(from, offset, n, to, at);
}

// double at depth >= 1: the kernels write to the caller's memory, at `begin` of each time.
void march_in_place(const options &opts, const isa::flow_tile &tile, const isa::flow_times &times,
                    const fields<double> &out, index begin, index total) {
  const auto at = [begin](double *field) { return field == nullptr ? nullptr : field + begin; };
  double *beta = out.beta != nullptr ? out.beta : out.a != nullptr ? out.a : out.b;
  isa::flow().march(opts.depth, b_rate(opts), tile, times,
                    {at(out.theta), at(out.residual), at(beta), at(out.learned_eigenvalues),
                     at(out.d_z), at(out.d_eigenvalues), at(out.d_b0), at(out.d_times), total});
  for (index i = 0; i < times.n && beta != nullptr; ++i) {
    const auto row = [&](double *field) {
      return field == nullptr ? nullptr : field + i * total + begin;
    };
    complete_state(opts, tile, row(beta), row(out.a), row(out.b));
  }
}

template <class T> bool theta_alone(const fields<T> &out) {
  const T *others[] = {out.residual,      out.a,    out.b,
                       out.beta,          out.d_z,  out.learned_eigenvalues,
                       out.d_eigenvalues, out.d_b0, out.d_times};
  return std::all_of(std::begin(others), std::end(others),
                     [](const T *field) { return field == nullptr; });
}

bool tile_is_valid(const isa::flow_tile &tile, input_check wanted) {
  const isa::flow_kernels &kernels = isa::flow();
  const auto good = [&](const double *x) {
    return x == nullptr || (kernels.none_negative(x, tile.n) &&
                            (wanted == input_check::sign || kernels.all_finite(x, tile.n)));
  };
  if (wanted == input_check::none)
    return true;
  return good(tile.lambda) && good(tile.b0) &&
         (wanted == input_check::sign || kernels.all_finite(tile.z, tile.n));
}

// theta at depth 0. False if the inputs are not valid.
bool closed_tile_theta(const isa::flow_tile &tile, const isa::flow_times &times, input_check wanted,
                       double *theta, index stride) {
  if (isa::flow().closed_plain(tile, times, theta, stride))
    return true; // plain numbers are valid
  if (!tile_is_valid(tile, wanted))
    return false;
  for (index i = 0; i < times.n; ++i)
    isa::flow().closed_theta(tile, times.t[i], theta + times.row[i] * stride);
  return true;
}

// Rounded, by way of a few times of the tile in the first cache.
bool closed_tile_theta(const isa::flow_tile &tile, const isa::flow_times &times, input_check wanted,
                       float *theta, index stride) {
  constexpr index at_once = 4;
  static constexpr std::int64_t rows[at_once] = {0, 1, 2, 3};
  double buffer[at_once * closed_tile];
  for (index first = 0; first < times.n; first += at_once) {
    const index n = std::min(at_once, times.n - first);
    if (!closed_tile_theta(tile, {times.t + first, rows, n}, wanted, buffer, tile.n))
      return false;
    for (index i = 0; i < n; ++i)
      isa::flow().narrow(buffer + i * tile.n, tile.n, theta + times.row[first + i] * stride);
  }
  return true;
}

// False if the inputs are not valid.
template <class T>
bool evolve_tile(const options &opts, const isa::flow_tile &tile, const isa::flow_times &times,
                 const fields<T> &out, index begin, index total, tile_fields &f) {
  if (opts.depth == 0 && out.theta != nullptr && theta_alone(out))
    return closed_tile_theta(tile, times, opts.check, out.theta + begin, total);
  if (!tile_is_valid(tile, opts.check))
    return false;
  if constexpr (std::is_same_v<T, double>) {
    if (opts.depth > 0) {
      march_in_place(opts, tile, times, out, begin, total);
      return true;
    }
  }
  for_times(opts, tile, times, f, [&](index row, index offset) {
    const index n = tile.n, at = row * total + begin;
    store(f.theta, offset, n, out.theta, at);
    store(f.residual, offset, n, out.residual, at);
    store(f.a, offset, n, out.a, at);
    store(f.b, offset, n, out.b, at);
    store(f.beta, offset, n, out.beta, at);
    store(f.eigenvalue, offset, n, out.learned_eigenvalues, at);
    store(f.d_z, offset, n, out.d_z, at);
    store_slopes(f.d_lambda, offset, n, out.d_eigenvalues, at);
    store_slopes(f.d_b0, offset, n, out.d_b0, at);
    store_slopes(f.d_t, offset, n, out.d_times, at);
  });
  return true;
}

// Calls body(begin, tile) on tiles of the coordinates of a chunk.
template <class T, class Body>
void for_tiles(const coordinates<T> &in, bool with_b0, index tile, index begin, index end,
               Body &&body) {
  tile_inputs<T> inputs(in, with_b0);
  for (index at = begin; at < end; at += tile)
    body(at, inputs.load(at, std::min(tile, end - at)));
}

} // namespace

template <class T>
bool evolve(const options &opts, const coordinates<T> &in, vector_view<const double> times,
            const fields<T> &out) {
  check(opts, in, opts.depth > 0);
  check(times);
  const sorted_times sorted(times);
  const index total = in.z.rows * in.z.cols, tile = tile_of(opts);
  const bool in_place = std::is_same_v<T, double> && opts.depth > 0;
  std::atomic<bool> valid{true};
  const auto chunk = [&](index begin, index end, int) {
    tile_fields f(opts, in_place ? fields<T>{} : out, times.size);
    for_tiles(in, opts.depth > 0, tile, begin, end, [&](index at, const isa::flow_tile &loaded) {
      if (!evolve_tile(opts, loaded, sorted.view(), out, at, total, f))
        valid = false;
    });
  };
  parallel_for(total, grain_of(tile, times.size, total), chunk, opts.workers);
  return valid;
}

template <class T>
void vanilla(const options &opts, const coordinates<T> &in, vector_view<const double> times,
             T *theta) {
  check(opts, in, false);
  check(times);
  const index total = in.z.rows * in.z.cols;
  const auto at_tile = [&](index begin, const isa::flow_tile &tile) {
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
  };
  parallel_for(
      total, grain_of(closed_tile, times.size, total),
      [&](index begin, index end, int) { for_tiles(in, false, closed_tile, begin, end, at_tile); },
      opts.workers);
}

template <class T> void learned_eigenvalues(const options &opts, const coordinates<T> &in, T *out) {
  check(opts, in, opts.depth > 0);
  const auto at_tile = [&](index begin, const isa::flow_tile &tile) {
    double buffer[closed_tile];
    if (opts.depth == 0)
      isa::flow().closed_eigenvalue(tile.z, tile.lambda, tile.n, buffer);
    else
      isa::flow().march_eigenvalue(opts.depth, b_rate(opts), tile, buffer);
    for (index i = 0; i < tile.n; ++i)
      out[begin + i] = static_cast<T>(buffer[i]);
  };
  parallel_for(
      in.z.rows * in.z.cols, grain_of(closed_tile, 1),
      [&](index begin, index end, int) {
        for_tiles(in, opts.depth > 0, closed_tile, begin, end, at_tile);
      },
      opts.workers);
}

#define EF_INSTANTIATE(T)                                                                          \
  template bool evolve(const options &, const coordinates<T> &, vector_view<const double>,         \
                       const fields<T> &);                                                         \
  template void vanilla(const options &, const coordinates<T> &, vector_view<const double>, T *);  \
  template void learned_eigenvalues(const options &, const coordinates<T> &, T *);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::flow
