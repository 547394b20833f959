// SPDX-License-Identifier: BSD-3-Clause
// The steady smoother: r <- F'r + C'S^-1 v backward in time, smoothed mean = predicted mean + P r.
// It is one more linear recursion, so chunks of time run side by side as in the filter: where each
// chunk starts is found first, then what it hands back to the one before, then both passes over a
// chunk are made while it is in the cache. Nothing is kept for each step.
#include "lds_disturbances.hpp"
#include "lds_lanes.hpp"

#include <eigenflow/parallel.hpp>

#include <algorithm>
#include <cmath>

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
  stretch_smoother(const steady_series &series, const backward_gain &back,
                   const steady_noises &noises, index begin, index end, const smoother_outputs &out)
      : series_(series), back_(back), noises_(noises), n_(series.n()), p_(series.p()), end_(end),
        out_(out), gain_(series.gain()), adjoint_(back.view(n_, p_)),
        groups_(series.fits_lanes() ? cut(begin, end, longest_chunk()) : std::vector<group>{}),
        tail_(groups_.empty() ? begin : groups_.back().start_of(lanes)) {}

  double run(buffer mean, buffer &r, smoothing_mismatch &mismatch) {
    const buffer starts = chunk_starts(series_, groups_, mean);
    double total = smooth_tail(mean, r);
    const buffer ends = adjoint_ends(starts, r);
    buffer sums(groups_.size());
    std::vector<reached> edges(groups_.size());
    parallel_for(
        static_cast<index>(groups_.size()), 2,
        [&](index first, index last, int) {
          chunk_rows rows(series_, longest_chunk());
          for (index g = first; g < last; ++g)
            sums[count(g)] = smooth_group(g, rows, starts, ends, edges[count(g)]);
        },
        series_.workers);
    for (const double sum : sums)
      total += sum;
    compare(starts, ends, mean, r, edges, mismatch);
    return total;
  }

private:
  // Where the lanes of a group came out: the mean after their last steps, r before their first.
  struct reached {
    buffer mean, r;
  };

  // Both against where the neighbours started.
  void compare(const buffer &starts, const buffer &ends, const buffer &mean, const buffer &r,
               const std::vector<reached> &edges, smoothing_mismatch &out) const {
    const index n_chunks = static_cast<index>(groups_.size()) * lanes;
    const auto at = [&](const buffer &all, index chunk, index i) {
      return all[count(((chunk / lanes) * n_ + i) * lanes + chunk % lanes)];
    };
    buffer gap(count(n_)), moved(count(n_));
    for (index c = 0; c < n_chunks; ++c) {
      const reached &own = edges[count(c / lanes)];
      for (index i = 0; i < n_; ++i) {
        const index place = i * lanes + c % lanes;
        moved[count(i)] = std::abs(own.mean[count(place)] -
                                   (c + 1 < n_chunks ? at(starts, c + 1, i) : mean[count(i)]));
        gap[count(i)] = own.r[count(place)] - (c > 0 ? at(ends, c - 1, i) : r[count(i)]);
      }
      out.forward = std::max(out.forward, in_scale(moved));
      small::apply(n_, n_, back_.P.data(), gap.data(), moved.data());
      out.backward = std::max(out.backward, in_scale(moved));
    }
  }

  double in_scale(const buffer &x) const {
    double most = 0;
    for (index i = 0; i < n_; ++i)
      if (series_.steady.scale[count(i)] > 0)
        most = std::max(most, std::abs(x[count(i)]) / series_.steady.scale[count(i)]);
    return most;
  }

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

  double smooth_group(index g, chunk_rows &rows, const buffer &starts, const buffer &ends,
                      reached &last) const {
    const group &one = groups_[count(g)];
    buffer state = state_of(starts, g), r = state_of(ends, g);
    const double total = rows.fill(series_, gain_, one, one.length, state.data());
    buffer tile(count(out_.smoothed_mean.rows > 0 ? tile_steps * n_ * lanes : 0));
    noise_tiles noise(*this);
    for (index done = one.length; done > 0;) {
      const index now = done % tile_steps == 0 ? tile_steps : done % tile_steps;
      done -= now;
      if (noise.wanted)
        noise.write(one, rows, done, now, r);
      isa::lds().retreat(adjoint_, rows.x(done, n_), rows.v(done, p_), now, r.data(),
                         tile.empty() ? nullptr : tile.data());
      if (!tile.empty())
        scatter(tile.data(), one, done, now, out_.smoothed_mean);
    }
    last = {std::move(state), std::move(r)};
    return total;
  }

  // Smoothed noises of a tile, from r after each of its steps.
  struct noise_tiles {
    explicit noise_tiles(const stretch_smoother &own)
        : s(own), wanted(own.noises_wanted()),
          identity(wanted ? small::identity(own.n_) : buffer{}),
          zero(count(wanted ? tile_steps * own.n_ * lanes : 0)), r_before(zero.size()),
          w(zero.size()), v(count(wanted ? tile_steps * own.p_ * lanes : 0)) {}

    void write(const group &one, const chunk_rows &rows, index done, index now, const buffer &r) {
      const index n = s.n_, p = s.p_;
      const double *innovations = rows.v(done, p);
      // The recursion from a mean of zero with a covariance of one is that of r itself.
      const isa::lds_adjoint plain{n, p, s.back_.F.data(), s.back_.W.data(), identity.data()};
      buffer moving = r;
      isa::lds().retreat(plain, zero.data(), innovations, now, moving.data(), r_before.data());
      for (index t = 0; t < now; ++t) {
        const double *later = t + 1 < now ? r_before.data() + (t + 1) * n * lanes : r.data();
        combine(0, n, innovations + t * p * lanes, later, w.data() + t * n * lanes);
        combine(n, p, innovations + t * p * lanes, later, v.data() + t * p * lanes);
      }
      if (s.out_.state_disturbance.rows > 0)
        scatter(w.data(), one, done, now, s.out_.state_disturbance);
      if (s.out_.obs_disturbance.rows > 0)
        scatter(v.data(), one, done, now, s.out_.obs_disturbance);
    }

    // Rows [first, first + size) of the weights.
    void combine(index first, index size, const double *innovation, const double *later,
                 double *out) const {
      for (index i = 0; i < size; ++i, out += lanes) {
        const double *on_v = s.noises_.weights_v.data() + (first + i) * s.p_;
        const double *on_r = s.noises_.weights_r.data() + (first + i) * s.n_;
        std::fill_n(out, lanes, 0.0);
        for (index k = 0; k < s.p_; ++k)
          for (index lane = 0; lane < lanes; ++lane)
            out[lane] += on_v[k] * innovation[k * lanes + lane];
        for (index j = 0; j < s.n_; ++j)
          for (index lane = 0; lane < lanes; ++lane)
            out[lane] += on_r[j] * later[j * lanes + lane];
      }
    }

    const stretch_smoother &s;
    bool wanted;
    buffer identity, zero, r_before, w, v;
  };

  bool noises_wanted() const {
    return out_.state_disturbance.rows > 0 || out_.obs_disturbance.rows > 0;
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
      const double *innovation = innovations.data() + (t - begin) * p_;
      write_noises(0, out_.state_disturbance, t, innovation, r);
      write_noises(n_, out_.obs_disturbance, t, innovation, r);
      small::apply(n_, n_, back_.F.data(), r.data(), next.data());
      for (index i = 0; i < n_; ++i)
        next[count(i)] += small::dot(p_, back_.W.data() + i * p_, innovation);
      std::swap(r, next);
      for (index i = 0; i < n_ && out_.smoothed_mean.rows > 0; ++i)
        out_.smoothed_mean(t, i) =
            means[count((t - begin) * n_ + i)] + small::dot(n_, back_.P.data() + i * n_, r.data());
    }
    return total;
  }

  // The noises whose weights begin at row `first`; r is that of the next step.
  void write_noises(index first, matrix_view<double> out, index t, const double *innovation,
                    const buffer &r) const {
    for (index i = 0; i < out.cols && out.rows > 0; ++i)
      out(t, i) = small::dot(p_, noises_.weights_v.data() + (first + i) * p_, innovation) +
                  small::dot(n_, noises_.weights_r.data() + (first + i) * n_, r.data());
  }

  const steady_series &series_;
  const backward_gain &back_;
  const steady_noises &noises_;
  index n_, p_, end_;
  const smoother_outputs &out_;
  isa::lds_gain gain_;
  isa::lds_adjoint adjoint_;
  std::vector<group> groups_;
  index tail_;
};

} // namespace

double smooth_steady(const steady_series &series, index begin, index end, buffer mean, buffer &r,
                     const smoother_outputs &out, smoothing_mismatch &mismatch) {
  const backward_gain back(series);
  const steady_noises noises(series.system.now(), series.steady);
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
    total += stretch_smoother(series, back, noises, first, std::min(end, first + stretch), out)
                 .run(starts[count(k)], r, mismatch);
  }
  return total;
}

// All norms are Frobenius, in units of the scale: P is at most n, C'S^-1/2 is `push`, the powers of
// F sum to `forgetting`. An error in m adds push^2 forgetting of itself to r, one in the gain
// push forgetting n forgetting; P makes n times that of it, and is itself off.
double smoothing_error(const dense_model &s, const steady_filter &steady, double forward) {
  const auto n = static_cast<double>(s.n);
  double square = 0;
  for (index k = 0; k < s.p; ++k)
    for (index i = 0; i < s.n; ++i) {
      double seen = 0;
      for (index l = 0; l <= k; ++l)
        seen += steady.whiten[count(k * s.p + l)] * s.C[count(l * s.n + i)];
      seen *= steady.scale[count(i)];
      square += seen * seen;
    }
  const double push = std::sqrt(square * static_cast<double>(s.p));
  return forward * (1 + n * push * (1 + (n + push) * steady.forgetting));
}

} // namespace eigenflow::lds
