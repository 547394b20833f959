// SPDX-License-Identifier: BSD-3-Clause
// Tiles of coordinates between the caller's strided memory and the kernels' packed doubles.
#pragma once

#include "isa/flow.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/flow.hpp>

#include <algorithm>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace eigenflow::flow {

inline constexpr index closed_tile = 512; // inputs and results of a tile stay in the first cache
inline constexpr index march_tile = 128;  // about 30 us of work for one time

inline void check(const options &opts) {
  require(opts.depth >= 0 && opts.depth <= max_depth,
          "depth: got " + std::to_string(opts.depth) + ", want 0 to " + std::to_string(max_depth));
}

template <class T> void check(const options &opts, const coordinates<T> &in, bool with_b0) {
  check(opts);
  const auto same = [&](matrix_view<const T> v) {
    return v.rows == in.z.rows && v.cols == in.z.cols;
  };
  require(same(in.eigenvalues), "eigenvalues: want the shape of z");
  require(!with_b0 || same(in.b0), "b0: want the shape of z");
}

inline void check(vector_view<const double> times) {
  for (index i = 0; i < times.size; ++i)
    require(times[i] >= 0, "times: want non-negative values");
}

// Coordinates per chunk: whole tiles, and at least some 100 us of work if there is that much.
inline index grain_of(index tile, index n_times) {
  return tile * std::max<index>(1, (tile == closed_tile ? 64 : 4) / std::max<index>(1, n_times));
}

// As above, where every time writes a row of `total` results. Of rows that leave the cache a chunk
// takes some pages, not a part of one: two threads that share pages write a path a third slower.
inline index grain_of(index tile, index n_times, index total) {
  constexpr index long_row = index{1} << 18, pages = 8; // tiles of eight pages
  const index grain = grain_of(tile, n_times);
  return tile == closed_tile && total >= long_row ? std::max(grain, pages * tile) : grain;
}

// Fills `to` with entries [begin, begin + n) of the view in row-major order.
template <class T> void gather(matrix_view<const T> view, index begin, index n, double *to) {
  while (n > 0) {
    const index i = begin / view.cols, j = begin % view.cols;
    const index length = std::min(n, view.cols - j);
    const T *from = &view(i, j);
    if constexpr (std::is_same_v<T, float>) {
      if (view.col_stride == 1)
        isa::flow().widen(from, length, to);
    }
    if (std::is_same_v<T, double> || view.col_stride != 1)
      for (index k = 0; k < length; ++k)
        to[k] = static_cast<double>(from[k * view.col_stride]);
    begin += length;
    to += length;
    n -= length;
  }
}

template <class T> bool packed(matrix_view<const T> view) {
  return (view.col_stride == 1 || view.cols <= 1) &&
         (view.rows <= 1 || view.row_stride == view.cols);
}

// One argument's share of a tile: the caller's memory where it is packed double, else a copy.
template <class T> class tile_input {
public:
  explicit tile_input(matrix_view<const T> view) : view_(view) {}

  const double *load(index begin, index n) {
    if constexpr (std::is_same_v<T, double>) {
      if (packed(view_))
        return view_.data + begin;
    }
    if (buffer_.size() < static_cast<std::size_t>(n))
      buffer_.resize(static_cast<std::size_t>(n));
    gather(view_, begin, n, buffer_.data());
    return buffer_.data();
  }

private:
  matrix_view<const T> view_;
  std::vector<double> buffer_;
};

// The three inputs of a tile.
template <class T> class tile_inputs {
public:
  tile_inputs(const coordinates<T> &in, bool with_b0)
      : z_(in.z), lambda_(in.eigenvalues), b0_(in.b0), with_b0_(with_b0) {}

  isa::flow_tile load(index begin, index n) {
    return {z_.load(begin, n), lambda_.load(begin, n), with_b0_ ? b0_.load(begin, n) : nullptr, n};
  }

private:
  tile_input<T> z_, lambda_, b0_;
  bool with_b0_;
};

// Times in rising order, with the rows where their results go.
class sorted_times {
public:
  explicit sorted_times(vector_view<const double> times)
      : row_(static_cast<std::size_t>(times.size)) {
    std::iota(row_.begin(), row_.end(), std::int64_t{0});
    std::stable_sort(row_.begin(), row_.end(),
                     [&](std::int64_t a, std::int64_t b) { return times[a] < times[b]; });
    for (const std::int64_t row : row_)
      t_.push_back(times[row]);
  }

  isa::flow_times view() const {
    return {t_.data(), row_.data(), static_cast<std::int64_t>(t_.size())};
  }

private:
  std::vector<std::int64_t> row_;
  std::vector<double> t_;
};

// b^2 = b0^2 + b_rate beta^2.
inline double b_rate(const options &opts) {
  return opts.factors == coupling::shared ? opts.depth : 1;
}

} // namespace eigenflow::flow
