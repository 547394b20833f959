// SPDX-License-Identifier: BSD-3-Clause
// A run of time is cut into chunks, eight of which share the SIMD lanes; groups of eight go to
// workers. A chunk starts from what the steps before it left, as many as the filter remembers: the
// earlier ones are below rounding, and what they would have added is measured afterwards. A filter
// that remembers too long takes the exact way: what each chunk adds to its end, then the starts in
// order (`chunk_starts`).
#include "lds_lanes.hpp"

#include "lds_recursion.hpp"
#include "lds_states.hpp"

#include <eigenflow/parallel.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>

namespace eigenflow::lds {
namespace {

using namespace tiles;

// Short enough that Ctrl-C is noticed in time, and that a second pass finds y in the cache.
constexpr index stretch = index{1} << 20;

struct job {
  const steady_series &series;
  const filter_outputs &out;
  double constant; // -2 times what a step adds to the log-likelihood, without the squares
  recursion move;
  std::optional<state_rows> states; // where nothing but filtered means is wanted
  index memory;                     // steps that the filter remembers

  job(const steady_series &run, const filter_outputs &outputs, index n_steps)
      : series(run), out(outputs),
        constant(static_cast<double>(run.p()) * std::log(2 * std::numbers::pi) +
                 run.steady.log_det),
        move(run, no_rows(outputs) && n_steps >= worth_preparing),
        states(state_rows::plan(run, outputs)),
        memory(std::max(tiles::warm_up(run.n(), run.steady, chunk_length), shortest_memory)) {}

  // Those that get enough to do: a core makes some 25 fused multiply-adds a nanosecond, and moves a
  // number in or out in the time of 8.
  int useful_workers(index n_steps) const {
    const index numbers = series.p() + out.predicted_mean.cols + out.filtered_mean.cols +
                          out.innovations.cols + (out.log_likelihood_terms.size > 0 ? 1 : 0);
    const double work = move.cost() + 8.0 * static_cast<double>(numbers);
    const double worth_starting = 5e6; // 0.2 ms
    const double useful = work * static_cast<double>(n_steps) / worth_starting;
    const int all = resolve_workers(series.workers);
    return useful < all ? std::max(1, static_cast<int>(useful)) : all;
  }

private:
  static constexpr index worth_preparing = 1 << 14;
  static constexpr index shortest_memory = 16; // a multiple of the steps that are taken at once
  static bool no_rows(const filter_outputs &out) {
    return out.predicted_mean.rows == 0 && out.filtered_mean.rows == 0 &&
           out.innovations.rows == 0 && out.log_likelihood_terms.size == 0;
  }
};

void write_terms(const job &j, const double *squares, const group &g, index offset, index steps) {
  for (index lane = 0; lane < lanes; ++lane)
    for (index s = 0; s < steps; ++s)
      j.out.log_likelihood_terms[g.start_of(lane) + offset + s] =
          -0.5 * (j.constant + squares[s * lanes + lane]);
}

// Moves `state` over the `steps` rows from row `offset` of each chunk.
template <class Move>
void pass_over(const steady_series &series, const group &g, index offset, index steps,
               Move &&move) {
  input_tile rows(series);
  for (index done = 0; done < steps; done += tile_steps) {
    const index now = std::min(tile_steps, steps - done);
    rows.gather(series, g, offset + done, now);
    move(rows, now);
  }
}

// Moves the state of the modes over the same rows, and adds to `sums` unless they are null.
void pass_modes(const job &j, const group &g, index offset, index steps, double *state,
                double *sums) {
  const double *rows[lanes];
  for (index lane = 0; lane < lanes; ++lane)
    rows[lane] = &j.series.y(g.start_of(lane) + offset, 0);
  j.move.pass_modes(rows, steps, state, sums);
}

double sum_of(const double (&parts)[lanes]) {
  double total = 0;
  for (const double part : parts)
    total += part;
  return total;
}

// Filters the chunks from their starts; state is [n][lane] and becomes their ends.
double filter_group(const job &j, const group &g, double *state) {
  double sums[lanes] = {};
  if (j.move.modal()) {
    pass_modes(j, g, 0, g.length, state, sums);
    return sum_of(sums);
  }
  input_tile in(j.series);
  if (j.states) {
    for (index done = 0; done < g.length; done += tile_steps) {
      const index now = std::min(tile_steps, g.length - done);
      in.gather(j.series, g, done, now);
      j.states->run(in, g, done, now, state, sums);
    }
    return sum_of(sums);
  }
  const index n = j.series.n(), p = j.series.p();
  const auto room = [](bool wanted, index width) {
    return buffer(count(wanted ? tile_steps * width * lanes : 0));
  };
  buffer predicted = room(j.out.predicted_mean.rows > 0, n),
         filtered = room(j.out.filtered_mean.rows > 0, n),
         innovations = room(j.out.innovations.rows > 0, p),
         squares = room(j.out.log_likelihood_terms.size > 0, 1);
  const auto pointer = [](buffer &b) { return b.empty() ? nullptr : b.data(); };
  const isa::lds_tile rows{pointer(predicted), pointer(filtered), pointer(innovations),
                           pointer(squares)};
  for (index done = 0; done < g.length; done += tile_steps) {
    const index now = std::min(tile_steps, g.length - done);
    in.gather(j.series, g, done, now);
    j.move.observe(in, now, rows, state, sums);
    if (!predicted.empty())
      scatter(predicted.data(), g, done, now, j.out.predicted_mean);
    if (!filtered.empty())
      scatter(filtered.data(), g, done, now, j.out.filtered_mean);
    if (!innovations.empty())
      scatter(innovations.data(), g, done, now, j.out.innovations);
    if (!squares.empty())
      write_terms(j, squares.data(), g, done, now);
  }
  return sum_of(sums);
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

// Between where a chunk ended and where the next one began; `last` is the mean after all.
double largest_gap(const recursion &move, index n, const buffer &starts, const buffer &ends,
                   const buffer &last) {
  double gap = 0;
  const index n_chunks = static_cast<index>(ends.size()) / n;
  const auto at = [n](const buffer &b, index chunk, index i) {
    return b[count(((chunk / lanes) * n + i) * lanes + chunk % lanes)];
  };
  buffer difference(count(n)), end(count(n * lanes));
  move.enter(last, end.data(), 0);
  for (index c = 0; c < n_chunks; ++c) {
    for (index i = 0; i < n; ++i) {
      const double next = c + 1 < n_chunks ? at(starts, c + 1, i) : end[count(i * lanes)];
      difference[count(i)] = at(ends, c, i) - next;
    }
    gap = std::max(gap, move.size(difference));
  }
  return gap;
}

// Where the chunks of a group start: from the steps before them, and the first one from `mean`.
void remember(const job &j, const group &g, bool first, const buffer &mean, double *state) {
  const index n = j.series.n();
  std::fill_n(state, n * lanes, 0.0);
  const auto pass = [&](const group &rows, index offset) {
    if (j.move.modal())
      pass_modes(j, rows, offset, j.memory, state, nullptr);
    else
      pass_over(j.series, rows, offset, j.memory,
                [&](const input_tile &tile, index steps) { j.move.advance(tile, steps, state); });
  };
  if (!first) {
    pass({g.first - j.memory, g.length}, 0);
    return;
  }
  // There are no rows before: the ends of the chunks are where the next ones start.
  pass(g, g.length - j.memory);
  for (index i = 0; i < n; ++i)
    for (index lane = lanes - 1; lane > 0; --lane)
      state[i * lanes + lane] = state[i * lanes + lane - 1];
  j.move.enter(mean, state, 0);
}

// Mean after row `end` - 1, in the coordinates of the system, from the rows that are remembered.
void remembered_mean(const job &j, index end, index length, buffer &mean) {
  const index n = j.series.n();
  const isa::lds_gain gain = j.series.gain();
  buffer state(count(n * lanes));
  const group g{end - j.memory - (lanes - 1) * length, length};
  pass_over(j.series, g, 0, j.memory, [&](const input_tile &rows, index steps) {
    isa::lds().advance(gain, rows.y(), rows.push(), steps, state.data());
  });
  for (index i = 0; i < n; ++i)
    mean[count(i)] = state[count(i * lanes + lanes - 1)];
}

// The exact starts of all chunks, in the coordinates of the recursion.
buffer exact_starts(const job &j, const std::vector<group> &groups, buffer &mean) {
  const index n = j.series.n();
  buffer states = chunk_starts(j.series, groups, mean), one(count(n));
  for (std::size_t g = 0; g < groups.size() && j.move.modal(); ++g) {
    double *state = states.data() + g * count(n * lanes);
    for (index lane = 0; lane < lanes; ++lane) {
      for (index i = 0; i < n; ++i)
        one[count(i)] = state[i * lanes + lane];
      j.move.enter(one, state, lane);
    }
  }
  return states;
}

// Rows before one that starts at a cache line, where results go around the cache.
index steps_to_line(const matrix_view<double> &out, index t) {
  constexpr std::uintptr_t line = 64;
  if (out.rows == 0 || !goes_around(out))
    return 0;
  for (index s = 0; s < 8; ++s)
    if (t + s < out.rows && reinterpret_cast<std::uintptr_t>(&out(t + s, 0)) % line == 0)
      return s;
  return 0;
}

double run_stretch(const job &j, index begin, index end, buffer &mean, double &mismatch) {
  const index n = j.series.n();
  const std::vector<group> groups = cut(begin, end, chunk_length);
  const index n_groups = static_cast<index>(groups.size());
  if (n_groups == 0)
    return filter_serial(j, begin, end, mean);
  const bool forgets = j.memory < chunk_length && j.memory <= groups.front().length;
  const index tail = groups.back().start_of(lanes);
  buffer last = mean, sums(count(n_groups));
  buffer starts = forgets ? buffer(count(n_groups * n * lanes)) : exact_starts(j, groups, last);
  buffer states = starts;
  parallel_for(
      n_groups, 4,
      [&](index first, index stop, int) {
        for (index g = first; g < stop; ++g) {
          const group &one = groups[count(g)];
          double *start = starts.data() + g * n * lanes, *state = states.data() + g * n * lanes;
          if (forgets) {
            remember(j, one, g == 0, mean, start);
            std::copy_n(start, n * lanes, state);
          }
          sums[count(g)] = filter_group(j, one, state);
        }
      },
      j.useful_workers(end - begin));
  if (forgets)
    remembered_mean(j, tail, groups.back().length, last);
  mismatch = std::max(mismatch, largest_gap(j.move, n, starts, states, last));
  mean = last;
  double total = 0;
  for (const double sum : sums)
    total += sum;
  return total + filter_serial(j, tail, end, mean);
}

} // namespace

double run_steady(const steady_series &series, index begin, index end, const filter_outputs &out,
                  buffer &mean, double &mismatch) {
  const job j(series, out, end - begin);
  if (!series.fits_lanes())
    return filter_serial(j, begin, end, mean);
  double total = 0;
  if (const index aligned = std::min(end, begin + steps_to_line(out.filtered_mean, begin));
      aligned > begin) {
    total = filter_serial(j, begin, aligned, mean);
    begin = aligned;
  }
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
