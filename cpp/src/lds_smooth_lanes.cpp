// SPDX-License-Identifier: BSD-3-Clause
// The steady smoother: r <- F'r + C'S^-1 v backward in time, smoothed mean = predicted mean + P r.
// It is one more linear recursion, so chunks of time run side by side as in the filter: where each
// chunk starts is found first, then what it hands back to the one before, then both passes over a
// chunk are made while it is in the cache. Nothing is kept for each step.
#include "lds_lanes.hpp"

#include <eigenflow/parallel.hpp>

#include <algorithm>

namespace eigenflow::lds {
namespace {

using namespace tiles;

constexpr index stretch = index{1} << 20;

// F', C'S^-1 and P, row-major.
struct backward_gain {
  buffer F, W, P;
  explicit backward_gain(const steady_series &series) : F(series.steady.F), P(series.steady.P) {
    const index n = series.n();
    for (index i = 0; i < n; ++i)
      for (index j = 0; j < n; ++j)
        F[count(i * n + j)] = series.steady.F[count(j * n + i)];
    W = adjoint_weights(series.system.now(), series.steady);
  }
  isa::lds_adjoint view(index n, index p) const { return {n, p, F.data(), W.data(), P.data()}; }
};

// Predicted means and innovations of the first `steps` steps of a group.
class chunk_rows {
public:
  chunk_rows(const steady_series &series, index steps)
      : x_(count(steps * series.n() * lanes)), v_(count(steps * series.p() * lanes)), in_(series) {}
  double fill(const steady_series &series, const isa::lds_gain &gain, const group &g, index steps,
              double *state) {
    double sums[lanes] = {};
    for (index done = 0; done < steps; done += tile_steps) {
      const index now = std::min(tile_steps, steps - done);
      in_.gather(series, g, done, now);
      const isa::lds_tile rows{x_.data() + done * series.n() * lanes, nullptr,
                               v_.data() + done * series.p() * lanes, nullptr};
      isa::lds().observe(gain, in_.y(), in_.push(), now, state, rows, sums);
    }
    double total = 0;
    for (const double sum : sums)
      total += sum;
    return total;
  }
  const double *x(index step, index n) const { return x_.data() + step * n * lanes; }
  const double *v(index step, index p) const { return v_.data() + step * p * lanes; }

private:
  buffer x_, v_;
  input_tile in_;
};

class stretch_smoother {
public:
  stretch_smoother(const steady_series &series, const backward_gain &back, index begin, index end,
                   matrix_view<double> out)
      : series_(series), back_(back), n_(series.n()), p_(series.p()), end_(end), out_(out),
        gain_(series.gain()), adjoint_(back.view(n_, p_)),
        groups_(series.fits_lanes() ? cut(begin, end, longest_chunk()) : std::vector<group>{}),
        tail_(groups_.empty() ? begin : groups_.back().start_of(lanes)) {}

  double run(buffer mean, buffer &r) {
    const buffer starts = chunk_starts(series_, groups_, mean);
    double total = smooth_tail(mean, r);
    const buffer ends = adjoint_ends(starts, r);
    buffer sums(groups_.size());
    parallel_for(
        static_cast<index>(groups_.size()), 2,
        [&](index first, index last, int) {
          chunk_rows rows(series_, longest_chunk());
          for (index g = first; g < last; ++g)
            sums[count(g)] = smooth_group(g, rows, starts, ends);
        },
        series_.workers);
    for (const double sum : sums)
      total += sum;
    return total;
  }

private:
  // Both passes over a group of chunks find its rows in the second-level cache.
  index longest_chunk() const {
    const index fits = (index{1} << 19) / ((n_ + p_) * lanes * 8);
    return std::clamp<index>(fits / 8 * 8 + 8, 136, chunk_length);
  }

  buffer state_of(const buffer &all, index g) const {
    const auto first = all.begin() + g * n_ * lanes;
    return {first, first + n_ * lanes};
  }

  // r after the last step of each chunk, [group][n][lane]; `r` becomes that before the first.
  buffer adjoint_ends(const buffer &starts, buffer &r) {
    const index n_groups = static_cast<index>(groups_.size());
    const index needed = warm_up(n_, series_.steady, chunk_length);
    buffer local(starts.size());
    parallel_for(
        n_groups, 8,
        [&](index first, index last, int) {
          chunk_rows rows(series_, std::min(needed, longest_chunk()));
          for (index g = first; g < last; ++g) {
            const group &one = groups_[count(g)];
            const index steps = std::min(needed, one.length);
            buffer state = state_of(starts, g);
            rows.fill(series_, gain_, one, steps, state.data());
            double *to = local.data() + g * n_ * lanes;
            std::fill_n(to, n_ * lanes, 0.0);
            isa::lds().retreat(adjoint_, rows.x(0, n_), rows.v(0, p_), steps, to, nullptr);
          }
        },
        series_.workers);
    buffer power, next(count(n_));
    index length = -1;
    for (index g = n_groups - 1; g >= 0; --g) {
      if (groups_[count(g)].length != length) {
        length = groups_[count(g)].length;
        power = power_of(n_, back_.F, length);
      }
      double *to = local.data() + g * n_ * lanes;
      for (index lane = lanes - 1; lane >= 0; --lane) {
        small::apply(n_, n_, power.data(), r.data(), next.data());
        for (index i = 0; i < n_; ++i) {
          next[count(i)] += to[i * lanes + lane];
          to[i * lanes + lane] = r[count(i)];
        }
        std::swap(r, next);
      }
    }
    return local;
  }

  double smooth_group(index g, chunk_rows &rows, const buffer &starts, const buffer &ends) const {
    const group &one = groups_[count(g)];
    buffer state = state_of(starts, g), r = state_of(ends, g);
    const double total = rows.fill(series_, gain_, one, one.length, state.data());
    if (out_.rows == 0)
      return total;
    buffer tile(count(tile_steps * n_ * lanes));
    for (index done = one.length; done > 0;) {
      const index now = done % tile_steps == 0 ? tile_steps : done % tile_steps;
      done -= now;
      isa::lds().retreat(adjoint_, rows.x(done, n_), rows.v(done, p_), now, r.data(), tile.data());
      scatter(tile.data(), one, done, now, out_);
    }
    return total;
  }

  // The steps after the groups, or all of them, in pieces of one chunk from the last to the first.
  double smooth_tail(const buffer &mean, buffer &r) {
    std::vector<buffer> starts;
    buffer state = mean;
    serial_steps step(series_);
    interrupt_poll poll;
    for (index t = tail_; t < end_; ++t) {
      if (t % 64 == 0)
        poll();
      if ((t - tail_) % chunk_length == 0)
        starts.push_back(state);
      step.observe(t, state);
      step.move(state);
    }
    double total = 0;
    for (index piece = static_cast<index>(starts.size()) - 1; piece >= 0; --piece) {
      const index begin = tail_ + piece * chunk_length;
      total += smooth_piece(begin, std::min(end_, begin + chunk_length), starts[count(piece)], r);
    }
    return total;
  }

  double smooth_piece(index begin, index end, buffer mean, buffer &r) {
    buffer means, innovations, next(count(n_));
    serial_steps step(series_);
    double total = 0;
    for (index t = begin; t < end; ++t) {
      total += step.observe(t, mean);
      means.insert(means.end(), mean.begin(), mean.end());
      innovations.insert(innovations.end(), step.innovation().begin(), step.innovation().end());
      step.move(mean);
    }
    interrupt_poll poll;
    for (index t = end - 1; t >= begin; --t) {
      if (t % 64 == 0)
        poll();
      small::apply(n_, n_, back_.F.data(), r.data(), next.data());
      for (index i = 0; i < n_; ++i)
        next[count(i)] +=
            small::dot(p_, back_.W.data() + i * p_, innovations.data() + (t - begin) * p_);
      std::swap(r, next);
      for (index i = 0; i < n_ && out_.rows > 0; ++i)
        out_(t, i) =
            means[count((t - begin) * n_ + i)] + small::dot(n_, back_.P.data() + i * n_, r.data());
    }
    return total;
  }

  const steady_series &series_;
  const backward_gain &back_;
  index n_, p_, end_;
  matrix_view<double> out_;
  isa::lds_gain gain_;
  isa::lds_adjoint adjoint_;
  std::vector<group> groups_;
  index tail_;
};

} // namespace

double smooth_steady(const steady_series &series, index begin, index end, buffer mean, buffer &r,
                     matrix_view<double> out) {
  const backward_gain back(series);
  // Where each stretch starts, then the stretches from the last.
  std::vector<buffer> starts;
  interrupt_poll poll; // one for all stretches, each of which is too short to look
  for (index t = begin; t < end; t += stretch) {
    poll();
    starts.push_back(mean);
    if (t + stretch < end)
      skip_steady(series, t, t + stretch, mean);
  }
  double total = 0;
  for (index k = static_cast<index>(starts.size()) - 1; k >= 0; --k) {
    poll();
    const index first = begin + k * stretch;
    total += stretch_smoother(series, back, first, std::min(end, first + stretch), out)
                 .run(starts[count(k)], r);
  }
  return total;
}

} // namespace eigenflow::lds
