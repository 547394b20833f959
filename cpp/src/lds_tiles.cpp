// SPDX-License-Identifier: BSD-3-Clause
#include "lds_tiles.hpp"

#include <eigenflow/parallel.hpp>

#include <algorithm>

namespace eigenflow::lds {

isa::lds_gain steady_series::gain() const {
  const dense_model &s = system.now();
  return {s.n,        s.p,        steady.F.data(), steady.L.data(),
          s.c.data(), s.C.data(), steady.K.data(), steady.whiten.data()};
}

namespace tiles {
namespace {

constexpr index shortest_chunk = 96; // below, setting up costs more than it saves

bool packed_rows(index row_stride, index col_stride, index width) {
  return row_stride == width && (width == 1 || col_stride == 1);
}

// What the last `steps` observations of each chunk add to its end: state is [n][lane].
void chunk_ends(const steady_series &series, const isa::lds_gain &gain, const group &g, index steps,
                double *state) {
  input_tile rows(series);
  std::fill(state, state + series.n() * lanes, 0.0);
  for (index done = g.length - steps; done < g.length; done += tile_steps) {
    const index now = std::min(tile_steps, g.length - done);
    rows.gather(series, g, done, now);
    isa::lds().advance(gain, rows.y(), rows.push(), now, state);
  }
}

// Replaces what each chunk adds by where it starts; `mean` becomes the end of the last chunk.
void chain(const steady_series &series, const std::vector<group> &groups, buffer &states,
           buffer &mean) {
  const index n = series.n();
  buffer power, next(count(n));
  index length = -1;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].length != length) {
      length = groups[g].length;
      power = power_of(n, series.steady.F, length);
    }
    double *state = states.data() + static_cast<index>(g) * n * lanes;
    for (index lane = 0; lane < lanes; ++lane) {
      small::apply(n, n, power.data(), mean.data(), next.data());
      for (index i = 0; i < n; ++i) {
        next[count(i)] += state[i * lanes + lane];
        state[i * lanes + lane] = mean[count(i)];
      }
      std::swap(mean, next);
    }
  }
}

} // namespace

std::vector<group> cut(index begin, index end, index longest) {
  std::vector<group> groups;
  while (end - begin >= lanes * shortest_chunk) {
    // An even number of steps: whole cache lines, for results of four numbers or more.
    const index length = std::min(longest, (end - begin) / lanes / 2 * 2);
    groups.push_back({begin, length});
    begin += lanes * length;
  }
  return groups;
}

input_tile::input_tile(const steady_series &series)
    : y_(count(tile_steps * series.p() * lanes)),
      drive_(count(series.driven() ? tile_steps * series.n() * lanes : 0)) {}

void input_tile::gather(const steady_series &series, const group &g, index offset, index steps) {
  const index p = series.p();
  const matrix_view<const double> y = series.y;
  const double *from[lanes];
  for (index lane = 0; lane < lanes; ++lane)
    from[lane] = &y(g.start_of(lane) + offset, 0);
  if (packed_rows(y.row_stride, y.col_stride, p)) {
    isa::lds().interleave(from, steps * p, y_.data());
  } else {
    for (index lane = 0; lane < lanes; ++lane)
      for (index s = 0; s < steps; ++s)
        for (index k = 0; k < p; ++k)
          y_[count((s * p + k) * lanes + lane)] = from[lane][s * y.row_stride + k * y.col_stride];
  }
  if (series.driven()) {
    gather_offsets(series, g, offset, steps);
    return;
  }
  for (index k = 0; k < p; ++k) {
    const double shift = series.system.now().d[count(k)];
    for (index s = 0; s < steps && shift != 0; ++s)
      for (index lane = 0; lane < lanes; ++lane)
        y_[count((s * p + k) * lanes + lane)] -= shift;
  }
}

void input_tile::gather_offsets(const steady_series &series, const group &g, index offset,
                                index steps) {
  const index n = series.n(), p = series.p();
  buffer c(count(n)), d(count(p));
  for (index lane = 0; lane < lanes; ++lane)
    for (index s = 0; s < steps; ++s) {
      series.system.offsets(g.start_of(lane) + offset + s, c.data(), d.data());
      for (index i = 0; i < n; ++i)
        drive_[count((s * n + i) * lanes + lane)] = c[count(i)];
      for (index k = 0; k < p; ++k)
        y_[count((s * p + k) * lanes + lane)] -= d[count(k)];
    }
}

bool goes_around(const matrix_view<double> &out) {
  constexpr index large = index{1} << 23; // numbers: 64 MB, beyond most caches
  return out.rows * out.cols >= large;
}

void scatter(const double *tile, const group &g, index offset, index steps,
             matrix_view<double> out) {
  const index width = out.cols;
  double *to[lanes];
  for (index lane = 0; lane < lanes; ++lane)
    to[lane] = &out(g.start_of(lane) + offset, 0);
  if (packed_rows(out.row_stride, out.col_stride, width)) {
    isa::lds().deinterleave(tile, steps * width, to, goes_around(out));
    return;
  }
  for (index lane = 0; lane < lanes; ++lane)
    for (index s = 0; s < steps; ++s)
      for (index i = 0; i < width; ++i)
        to[lane][s * out.row_stride + i * out.col_stride] = tile[(s * width + i) * lanes + lane];
}

index warm_up(index n, const steady_filter &f, index most) {
  buffer power = scaled_transition(n, f), square(f.F.size());
  for (index steps = 1; steps < most; steps *= 2) {
    if (small::norm(power) <= 0x1p-64)
      return steps;
    small::multiply(n, n, n, power.data(), power.data(), square.data());
    std::swap(power, square);
  }
  return most;
}

buffer power_of(index n, buffer base, index exponent) {
  buffer result = small::identity(n), work(base.size());
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) {
      small::multiply(n, n, n, result.data(), base.data(), work.data());
      std::swap(result, work);
    }
    small::multiply(n, n, n, base.data(), base.data(), work.data());
    std::swap(base, work);
  }
  return result;
}

buffer chunk_starts(const steady_series &series, const std::vector<group> &groups, buffer &mean) {
  const index n = series.n(), n_groups = static_cast<index>(groups.size());
  const isa::lds_gain gain = series.gain();
  const index needed = warm_up(n, series.steady, chunk_length);
  buffer states(count(n_groups * n * lanes));
  // As much work for each worker as starting it is worth.
  const index grain = std::max<index>(8, (index{1} << 15) / needed);
  parallel_for(
      n_groups, grain,
      [&](index first, index last, int) {
        for (index g = first; g < last; ++g)
          chunk_ends(series, gain, groups[count(g)], std::min(needed, groups[count(g)].length),
                     states.data() + g * n * lanes);
      },
      series.workers);
  chain(series, groups, states, mean);
  return states;
}

serial_steps::serial_steps(const steady_series &series)
    : series_(series), s_(series.system.now()), y_(count(s_.p)), v_(count(s_.p)), c_(s_.c),
      d_(s_.d), next_(count(s_.n)), filtered_(count(s_.n)) {}

double serial_steps::observe(index t, const buffer &mean) {
  const index n = s_.n, p = s_.p;
  mean_ = &mean;
  if (series_.driven())
    series_.system.offsets(t, c_.data(), d_.data());
  for (index k = 0; k < p; ++k) {
    y_[count(k)] = series_.y(t, k) - d_[count(k)];
    v_[count(k)] = y_[count(k)] - small::dot(n, s_.C.data() + k * n, mean.data());
  }
  double square = 0;
  for (index k = 0; k < p; ++k) {
    const double e = small::dot(k + 1, series_.steady.whiten.data() + k * p, v_.data());
    square += e * e;
  }
  return square;
}

const buffer &serial_steps::filtered() {
  for (index i = 0; i < s_.n; ++i)
    filtered_[count(i)] =
        (*mean_)[count(i)] + small::dot(s_.p, series_.steady.K.data() + i * s_.p, v_.data());
  return filtered_;
}

void serial_steps::move(buffer &mean) {
  const index n = s_.n, p = s_.p;
  small::apply(n, n, series_.steady.F.data(), mean.data(), next_.data());
  for (index i = 0; i < n; ++i)
    mean[count(i)] =
        next_[count(i)] + c_[count(i)] + small::dot(p, series_.steady.L.data() + i * p, y_.data());
}

} // namespace tiles
} // namespace eigenflow::lds
