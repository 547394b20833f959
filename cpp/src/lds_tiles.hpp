// SPDX-License-Identifier: BSD-3-Clause
// A steady run of time cut into chunks, eight of which share the SIMD lanes; and tiles of a few
// steps of such a group, lane-minor, on their way in and out.
#pragma once

#include "isa/lds.hpp"
#include "lds_steady.hpp"

#include <vector>

namespace eigenflow::lds {

// A series under the constant gain: offsets may change, the matrices do not.
struct steady_series {
  const model_cursor &system;
  const steady_filter &steady;
  matrix_view<const double> y;
  int workers;

  index n() const { return system.now().n; }
  index p() const { return system.now().p; }
  bool driven() const { return !system.fixed_offsets(); }
  bool fits_lanes() const { return n() <= isa::lds_max_dim && p() <= isa::lds_max_dim; }
  isa::lds_gain gain() const;
};

namespace tiles {

inline constexpr index lanes = isa::lds_lanes;
inline constexpr index tile_steps = 64;
// Not a power of two: eight streams that far apart would share one cache set.
inline constexpr index chunk_length = 2056;

// One group of eight chunks of `length` steps, from row `first`.
struct group {
  index first, length;
  index start_of(index lane) const { return first + lane * length; }
};

// Groups that cover [begin, end) but for a tail of fewer than lanes * 96 steps.
std::vector<group> cut(index begin, index end, index longest);

// Observations of one tile with their offsets off, and what moves the state besides.
class input_tile {
public:
  explicit input_tile(const steady_series &series);
  void gather(const steady_series &series, const group &g, index offset, index steps);
  const double *y() const { return y_.data(); }
  const double *push() const { return drive_.empty() ? nullptr : drive_.data(); }

private:
  void gather_offsets(const steady_series &series, const group &g, index offset, index steps);
  buffer y_, drive_;
};

// Large outputs go around the cache.
bool goes_around(const matrix_view<double> &out);

// Rows of a tile, [step][column][lane], to the rows of `out`.
void scatter(const double *tile, const group &g, index offset, index steps,
             matrix_view<double> out);

// Steps after which F has shrunk everything below rounding, in units of the scale; at most `most`.
index warm_up(index n, const steady_filter &f, index most);

// base^exponent of an n x n matrix.
buffer power_of(index n, buffer base, index exponent);

// Where the chunks of all groups start, [group][n][lane]; `mean` moves from the start of the first
// to the end of the last.
buffer chunk_starts(const steady_series &series, const std::vector<group> &groups, buffer &mean);

// One step of the serial recursion: innovation and next mean; `y` has its offsets off.
class serial_steps {
public:
  explicit serial_steps(const steady_series &series);
  // Reads row t; afterwards innovation() and filtered() are those of the step. Returns the squared
  // standardised innovation.
  double observe(index t, const buffer &mean);
  void move(buffer &mean);
  const buffer &innovation() const { return v_; }
  const buffer &filtered();

private:
  const steady_series &series_;
  const dense_model &s_;
  buffer y_, v_, c_, d_, next_, filtered_;
  const buffer *mean_ = nullptr;
};

} // namespace tiles
} // namespace eigenflow::lds
