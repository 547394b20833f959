// SPDX-License-Identifier: BSD-3-Clause
// The recursion is linear, so the end of a chunk is F^length times its start plus what its own
// observations add. Three passes: (1) what each chunk adds, which needs only its last steps once
// F has forgotten the earlier ones; (2) the starts, in order; (3) the chunks from their starts.
// Eight chunks at a time share the SIMD lanes, groups of eight go to workers.
#include "lds_lanes.hpp"

#include "isa/lds.hpp"

#include <eigenflow/parallel.hpp>

#include <cmath>
#include <numbers>
#include <vector>

namespace eigenflow::lds {
namespace {

constexpr index lanes = isa::lds_lanes;
// Not a power of two: eight streams that far apart would share one cache set.
constexpr index chunk_length = 2056;
constexpr index shortest_chunk = 96; // below, setting up costs more than it saves
constexpr index tile_steps = 64;

struct job {
  const model_cursor &cursor;
  const dense_model &system;
  const steady_filter &steady;
  matrix_view<const double> y;
  const filter_outputs &out;
  isa::lds_gain gain;
  bool driven() const { return !cursor.fixed_offsets(); }
};

// One group of eight chunks of `length` steps, from row `first`.
struct group {
  index first, length;
  index start_of(index lane) const { return first + lane * length; }
};

std::vector<group> cut(index begin, index end) {
  std::vector<group> groups;
  while (end - begin >= lanes * shortest_chunk) {
    const index length = std::min(chunk_length, (end - begin) / lanes);
    groups.push_back({begin, length});
    begin += lanes * length;
  }
  return groups;
}

// Observations of one tile with their offsets off, and what moves the state besides.
struct tile {
  buffer y, drive;
  explicit tile(const job &j)
      : y(count(tile_steps * j.system.p * lanes)),
        drive(count(j.driven() ? tile_steps * j.system.n * lanes : 0)) {}
  const double *push() const { return drive.empty() ? nullptr : drive.data(); }
};

void gather_offsets(const job &j, const group &g, index offset, index steps, tile &out) {
  const index n = j.system.n, p = j.system.p;
  buffer c(count(n)), d(count(p));
  for (index lane = 0; lane < lanes; ++lane)
    for (index s = 0; s < steps; ++s) {
      j.cursor.offsets(g.start_of(lane) + offset + s, c.data(), d.data());
      for (index i = 0; i < n; ++i)
        out.drive[count((s * n + i) * lanes + lane)] = c[count(i)];
      for (index k = 0; k < p; ++k)
        out.y[count((s * p + k) * lanes + lane)] -= d[count(k)];
    }
}

void gather(const job &j, const group &g, index offset, index steps, tile &out) {
  const index p = j.system.p;
  for (index lane = 0; lane < lanes; ++lane)
    for (index k = 0; k < p; ++k) {
      const double *from = &j.y(g.start_of(lane) + offset, k);
      const double shift = j.driven() ? 0.0 : j.system.d[count(k)];
      double *to = out.y.data() + k * lanes + lane;
      for (index s = 0; s < steps; ++s)
        to[s * p * lanes] = from[s * j.y.row_stride] - shift;
    }
  if (j.driven())
    gather_offsets(j, g, offset, steps, out);
}

void scatter(const double *tile, const group &g, index offset, index steps,
             matrix_view<double> out) {
  const index width = out.cols;
  for (index lane = 0; lane < lanes; ++lane) {
    double *to = &out(g.start_of(lane) + offset, 0);
    for (index s = 0; s < steps; ++s)
      for (index i = 0; i < width; ++i)
        to[s * out.row_stride + i * out.col_stride] = tile[(s * width + i) * lanes + lane];
  }
}

// Steps after which F has shrunk everything below rounding, in units of the scale; at most `most`.
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

// What the last `steps` observations of each chunk add to its end: state is [n][lane].
void chunk_ends(const job &j, const group &g, index steps, double *state) {
  tile rows(j);
  std::fill(state, state + j.system.n * lanes, 0.0);
  for (index done = g.length - steps; done < g.length; done += tile_steps) {
    const index now = std::min(tile_steps, g.length - done);
    gather(j, g, done, now, rows);
    isa::lds().advance(j.gain, rows.y.data(), rows.push(), now, state);
  }
}

// -2 times what a step adds to the log-likelihood, without the squares.
double log_likelihood_constant(const job &j) {
  return static_cast<double>(j.system.p) * std::log(2 * std::numbers::pi) + j.steady.log_det;
}

void write_terms(const job &j, const double *squares, const group &g, index offset, index steps) {
  const double constant = log_likelihood_constant(j);
  for (index lane = 0; lane < lanes; ++lane)
    for (index s = 0; s < steps; ++s)
      j.out.log_likelihood_terms[g.start_of(lane) + offset + s] =
          -0.5 * (constant + squares[s * lanes + lane]);
}

// Filters the chunks from their starts; state is [n][lane] and becomes their ends.
double filter_group(const job &j, const group &g, double *state) {
  const index n = j.system.n, p = j.system.p;
  const auto room = [](bool wanted, index width) {
    return buffer(count(wanted ? tile_steps * width * lanes : 0));
  };
  tile in(j);
  buffer predicted = room(j.out.predicted_mean.rows > 0, n),
         filtered = room(j.out.filtered_mean.rows > 0, n),
         innovations = room(j.out.innovations.rows > 0, p),
         squares = room(j.out.log_likelihood_terms.size > 0, 1);
  const auto pointer = [](buffer &b) { return b.empty() ? nullptr : b.data(); };
  const isa::lds_tile rows{pointer(predicted), pointer(filtered), pointer(innovations),
                           pointer(squares)};
  double sums[lanes] = {};
  for (index done = 0; done < g.length; done += tile_steps) {
    const index now = std::min(tile_steps, g.length - done);
    gather(j, g, done, now, in);
    isa::lds().observe(j.gain, in.y.data(), in.push(), now, state, rows, sums);
    if (!predicted.empty())
      scatter(predicted.data(), g, done, now, j.out.predicted_mean);
    if (!filtered.empty())
      scatter(filtered.data(), g, done, now, j.out.filtered_mean);
    if (!innovations.empty())
      scatter(innovations.data(), g, done, now, j.out.innovations);
    if (!squares.empty())
      write_terms(j, squares.data(), g, done, now);
  }
  double total = 0;
  for (const double sum : sums)
    total += sum;
  return total;
}

// Plain steps: for what is left over after the groups, and for systems too wide for the lanes.
double filter_serial(const job &j, index begin, index end, buffer &mean) {
  const index n = j.system.n, p = j.system.p;
  buffer y(count(p)), v(count(p)), next(count(n)), filtered(count(n)), c(j.system.c), d(j.system.d);
  double total = 0;
  interrupt_poll poll;
  for (index t = begin; t < end; ++t) {
    if (t % 64 == 0)
      poll();
    if (j.driven())
      j.cursor.offsets(t, c.data(), d.data());
    for (index k = 0; k < p; ++k) {
      y[count(k)] = j.y(t, k) - d[count(k)];
      v[count(k)] = y[count(k)] - small::dot(n, j.system.C.data() + k * n, mean.data());
    }
    double square = 0;
    for (index k = 0; k < p; ++k) {
      const double e = small::dot(k + 1, j.steady.whiten.data() + k * p, v.data());
      square += e * e;
    }
    total += square;
    for (index i = 0; i < n; ++i)
      filtered[count(i)] = mean[count(i)] + small::dot(p, j.steady.K.data() + i * p, v.data());
    for (index i = 0; i < n && j.out.predicted_mean.rows > 0; ++i)
      j.out.predicted_mean(t, i) = mean[count(i)];
    for (index i = 0; i < n && j.out.filtered_mean.rows > 0; ++i)
      j.out.filtered_mean(t, i) = filtered[count(i)];
    for (index k = 0; k < p && j.out.innovations.rows > 0; ++k)
      j.out.innovations(t, k) = v[count(k)];
    if (j.out.log_likelihood_terms.size > 0)
      j.out.log_likelihood_terms[t] = -0.5 * (log_likelihood_constant(j) + square);
    small::apply(n, n, j.steady.F.data(), mean.data(), next.data());
    for (index i = 0; i < n; ++i)
      mean[count(i)] =
          next[count(i)] + c[count(i)] + small::dot(p, j.steady.L.data() + i * p, y.data());
  }
  return total;
}

// Replaces what each chunk adds by where it starts; `mean` becomes the end of the last chunk.
void chain(const job &j, const std::vector<group> &groups, buffer &states, buffer &mean) {
  const index n = j.system.n;
  buffer power, next(count(n));
  index length = -1;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].length != length) {
      length = groups[g].length;
      power = power_of(n, j.steady.F, length);
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

double largest_gap(const steady_filter &f, index n, const buffer &starts, const buffer &ends,
                   const buffer &last) {
  double gap = 0;
  const index n_chunks = static_cast<index>(ends.size()) / n;
  const auto at = [n](const buffer &b, index chunk, index i) {
    return b[count(((chunk / lanes) * n + i) * lanes + chunk % lanes)];
  };
  for (index c = 0; c < n_chunks; ++c)
    for (index i = 0; i < n; ++i) {
      const double next = c + 1 < n_chunks ? at(starts, c + 1, i) : last[count(i)];
      const double difference = std::abs(at(ends, c, i) - next);
      if (difference > 0 && f.scale[count(i)] > 0)
        gap = std::max(gap, difference / f.scale[count(i)]);
    }
  return gap;
}

} // namespace

double run_steady(const steady_series &series, index begin, index end, const filter_outputs &out,
                  buffer &mean, double &mismatch) {
  const dense_model &system = series.system.now();
  const steady_filter &steady = series.steady;
  const int workers = series.workers;
  const index n = system.n;
  const job j{series.system,
              system,
              steady,
              series.y,
              out,
              {n, system.p, steady.F.data(), steady.L.data(), system.c.data(), system.C.data(),
               steady.K.data(), steady.whiten.data()}};
  if (n > isa::lds_max_dim || system.p > isa::lds_max_dim)
    return filter_serial(j, begin, end, mean);
  const std::vector<group> groups = cut(begin, end);
  const index n_groups = static_cast<index>(groups.size());
  if (n_groups == 0)
    return filter_serial(j, begin, end, mean);
  const index needed = warm_up(n, steady, chunk_length);
  buffer states(count(n_groups * n * lanes));
  buffer sums(count(n_groups));
  const auto ends_of = [&](index first, index last, int) {
    for (index g = first; g < last; ++g)
      chunk_ends(j, groups[count(g)], std::min(needed, groups[count(g)].length),
                 states.data() + g * n * lanes);
  };
  parallel_for(n_groups, 8, ends_of, workers);
  chain(j, groups, states, mean);
  const buffer starts = states;
  const auto filter_groups = [&](index first, index last, int) {
    for (index g = first; g < last; ++g)
      sums[count(g)] = filter_group(j, groups[count(g)], states.data() + g * n * lanes);
  };
  parallel_for(n_groups, 4, filter_groups, workers);
  mismatch = std::max(mismatch, largest_gap(steady, n, starts, states, mean));
  double total = 0;
  for (const double sum : sums)
    total += sum;
  const group &last = groups.back();
  for (index i = 0; i < n; ++i)
    mean[count(i)] = states[count(((n_groups - 1) * n + i) * lanes + lanes - 1)];
  return total + filter_serial(j, last.start_of(lanes), end, mean);
}

} // namespace eigenflow::lds
