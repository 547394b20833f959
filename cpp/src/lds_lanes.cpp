// SPDX-License-Identifier: BSD-3-Clause
// The recursion is linear, so the end of a chunk is F^length times its start plus what its own
// observations add. Three passes: (1) what each chunk adds, which needs only its last steps once
// F has forgotten the earlier ones; (2) the starts, in order; (3) the chunks from their starts.
// Eight chunks at a time share the SIMD lanes, groups of eight go to workers.
#include "lds_lanes.hpp"

#include <eigenflow/parallel.hpp>

#include <cmath>
#include <numbers>

namespace eigenflow::lds {
namespace {

using namespace tiles;

// Passes (1) and (3) read y twice, from the cache where a stretch is short enough.
constexpr index stretch = index{1} << 20;

struct job {
  const steady_series &series;
  const filter_outputs &out;
  isa::lds_gain gain;
  double constant; // -2 times what a step adds to the log-likelihood, without the squares
};

void write_terms(const job &j, const double *squares, const group &g, index offset, index steps) {
  for (index lane = 0; lane < lanes; ++lane)
    for (index s = 0; s < steps; ++s)
      j.out.log_likelihood_terms[g.start_of(lane) + offset + s] =
          -0.5 * (j.constant + squares[s * lanes + lane]);
}

// Filters the chunks from their starts; state is [n][lane] and becomes their ends.
double filter_group(const job &j, const group &g, double *state) {
  const index n = j.series.n(), p = j.series.p();
  const auto room = [](bool wanted, index width) {
    return buffer(count(wanted ? tile_steps * width * lanes : 0));
  };
  input_tile in(j.series);
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
    in.gather(j.series, g, done, now);
    isa::lds().observe(j.gain, in.y(), in.push(), now, state, rows, sums);
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
  const index n = j.series.n(), p = j.series.p();
  serial_steps step(j.series);
  double total = 0;
  interrupt_poll poll;
  for (index t = begin; t < end; ++t) {
    if (t % 64 == 0)
      poll();
    const double square = step.observe(t, mean);
    total += square;
    for (index i = 0; i < n && j.out.predicted_mean.rows > 0; ++i)
      j.out.predicted_mean(t, i) = mean[count(i)];
    if (j.out.filtered_mean.rows > 0) {
      const buffer &filtered = step.filtered();
      for (index i = 0; i < n; ++i)
        j.out.filtered_mean(t, i) = filtered[count(i)];
    }
    for (index k = 0; k < p && j.out.innovations.rows > 0; ++k)
      j.out.innovations(t, k) = step.innovation()[count(k)];
    if (j.out.log_likelihood_terms.size > 0)
      j.out.log_likelihood_terms[t] = -0.5 * (j.constant + square);
    step.move(mean);
  }
  return total;
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

double run_stretch(const job &j, index begin, index end, buffer &mean, double &mismatch) {
  const steady_series &series = j.series;
  const index n = series.n();
  const std::vector<group> groups = cut(begin, end, chunk_length);
  const index n_groups = static_cast<index>(groups.size());
  if (n_groups == 0)
    return filter_serial(j, begin, end, mean);
  const buffer starts = chunk_starts(series, groups, mean);
  buffer states = starts, sums(count(n_groups));
  parallel_for(
      n_groups, 4,
      [&](index first, index last, int) {
        for (index g = first; g < last; ++g)
          sums[count(g)] = filter_group(j, groups[count(g)], states.data() + g * n * lanes);
      },
      series.workers);
  mismatch = std::max(mismatch, largest_gap(series.steady, n, starts, states, mean));
  double total = 0;
  for (const double sum : sums)
    total += sum;
  for (index i = 0; i < n; ++i)
    mean[count(i)] = states[count(((n_groups - 1) * n + i) * lanes + lanes - 1)];
  return total + filter_serial(j, groups.back().start_of(lanes), end, mean);
}

} // namespace

double run_steady(const steady_series &series, index begin, index end, const filter_outputs &out,
                  buffer &mean, double &mismatch) {
  const job j{series, out, series.gain(),
              static_cast<double>(series.p()) * std::log(2 * std::numbers::pi) +
                  series.steady.log_det};
  if (!series.fits_lanes())
    return filter_serial(j, begin, end, mean);
  double total = 0;
  interrupt_poll poll; // one for all stretches, each of which is too short to look
  for (index t = begin; t < end; t += stretch) {
    poll();
    total += run_stretch(j, t, std::min(end, t + stretch), mean, mismatch);
  }
  return total;
}

void skip_steady(const steady_series &series, index begin, index end, buffer &mean) {
  serial_steps step(series);
  interrupt_poll poll;
  for (index t = begin; t < end;) {
    poll();
    const index stop = std::min(end, t + stretch);
    if (series.fits_lanes()) {
      const std::vector<group> groups = cut(t, stop, chunk_length);
      if (!groups.empty()) {
        chunk_starts(series, groups, mean);
        t = groups.back().start_of(lanes);
      }
    }
    for (; t < stop; ++t) {
      if (t % 64 == 0)
        poll();
      step.observe(t, mean);
      step.move(mean);
    }
  }
}

} // namespace eigenflow::lds
