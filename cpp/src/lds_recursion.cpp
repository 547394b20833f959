// SPDX-License-Identifier: BSD-3-Clause
#include "lds_recursion.hpp"

#include <algorithm>
#include <cmath>

namespace eigenflow::lds {
namespace {

using tiles::lanes;

// Panels of rows, as isa::lds_lift wants them: `body(row, height, n_y)`.
template <class Body> void for_each_panel(index rows, index p, bool all, index steps, Body &&body) {
  for (index row = 0; row < rows;) {
    const index left = rows - row;
    const index height = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    body(row, height, all ? steps * p : ((row + height - 1) / p + 1) * p);
    row += height;
  }
}

// Multiplications for each step when `steps` of them are one matrix.
double cost_of(index n, index p, index steps) {
  index total = steps * p;
  const auto add = [&](index, index height, index n_y) { total += height * (1 + n_y + n); };
  for_each_panel(steps * p, p, false, steps, add);
  for_each_panel(n, p, true, steps, add);
  return static_cast<double>(total) / static_cast<double>(steps);
}

index best_steps(index n, index p) {
  index best = 1;
  for (index steps = 2; steps <= 16; steps *= 2)
    if (cost_of(n, p, steps) < cost_of(n, p, best))
      best = steps;
  return best;
}

// Columns of the matrix of several steps: what the recursion makes of each unit vector.
class unit_columns {
public:
  unit_columns(const dense_model &s, const steady_filter &f, index steps)
      : s_(s), f_(f), steps_(steps), rows_(steps * s.p + s.n),
        matrix_(count(rows_ * (1 + steps * s.p + s.n))) {
    buffer x(count(s.n)), y(count(steps * s.p));
    fill(0, true, x, y);
    for (index j = 0; j < steps * s.p; ++j) {
      y[count(j)] = 1;
      fill(1 + j, false, x, y);
      y[count(j)] = 0;
    }
    for (index j = 0; j < s.n; ++j) {
      x[count(j)] = 1;
      fill(1 + steps * s.p + j, false, x, y);
      x[count(j)] = 0;
    }
  }
  double operator()(index row, index column) const { return matrix_[count(column * rows_ + row)]; }

private:
  void fill(index column, bool offset, buffer x, const buffer &y) {
    const index n = s_.n, p = s_.p;
    double *out = matrix_.data() + column * rows_;
    buffer v(count(p)), next(count(n));
    for (index k = 0; k < steps_; ++k) {
      const double *row = y.data() + k * p;
      for (index i = 0; i < p; ++i)
        v[count(i)] = row[i] - small::dot(n, s_.C.data() + i * n, x.data());
      for (index i = 0; i < p; ++i)
        out[k * p + i] = small::dot(i + 1, f_.whiten.data() + i * p, v.data());
      small::apply(n, n, f_.F.data(), x.data(), next.data());
      for (index i = 0; i < n; ++i)
        x[count(i)] = next[count(i)] + small::dot(p, f_.L.data() + i * p, row) +
                      (offset ? s_.c[count(i)] : 0.0);
    }
    std::copy(x.begin(), x.end(), out + steps_ * p);
  }

  const dense_model &s_;
  const steady_filter &f_;
  index steps_, rows_;
  buffer matrix_;
};

bool is_zero(const buffer &a) {
  return std::all_of(a.begin(), a.end(), [](double x) { return x == 0; });
}

} // namespace

lifted_filter::lifted_filter(const dense_model &s, const steady_filter &f)
    : n_(s.n), p_(s.p), steps_(best_steps(s.n, s.p)) {
  const unit_columns matrix(s, f, steps_);
  const index n_y = steps_ * p_;
  const auto pack = [&](index first, buffer &out) {
    return [&, first](index row, index height, index columns) {
      const auto add = [&](index column) {
        for (index r = 0; r < height; ++r)
          out.push_back(matrix(first + row + r, column));
      };
      for (index j = 0; j <= columns; ++j)
        add(j);
      for (index j = 0; j < n_; ++j)
        add(1 + n_y + j);
    };
  };
  for_each_panel(n_y, p_, false, steps_, pack(0, innovations_));
  for_each_panel(n_, p_, true, steps_, pack(n_y, state_));
}

recursion::recursion(const steady_series &series, bool squares_only)
    : series_(series), gain_(series.gain()) {
  if (!squares_only || series.driven() || !series.fits_lanes())
    return;
  const dense_model &s = series.system.now();
  if (is_zero(s.c) && (series.y.row_stride == 1 || series.y.rows == 1))
    modes_ = find_modes(s, series.steady);
  if (!modes_)
    lifted_.emplace(s, series.steady);
}

void recursion::pass_modes(const double *const *rows, index steps, double *state,
                           double *sums) const {
  double squares[lanes] = {};
  isa::lds_squares().modes(modes_->view(), rows, steps, state, sums == nullptr ? nullptr : squares);
  const double weight = series_.steady.whiten[0] * series_.steady.whiten[0];
  for (index lane = 0; lane < lanes && sums != nullptr; ++lane)
    sums[lane] += weight * squares[lane];
}

void recursion::advance(const tiles::input_tile &in, index steps, double *state) const {
  index done = 0;
  if (lifted_) {
    done = steps / lifted_->steps() * lifted_->steps();
    isa::lds_squares().lift(lifted_->view(), in.y(), steps / lifted_->steps(), state, nullptr);
  }
  if (done < steps)
    isa::lds().advance(gain_, in.y() + done * gain_.p * lanes, in.push(), steps - done, state);
}

void recursion::observe(const tiles::input_tile &in, index steps, const isa::lds_tile &rows,
                        double *state, double *sums) const {
  index done = 0;
  if (lifted_) {
    done = steps / lifted_->steps() * lifted_->steps();
    isa::lds_squares().lift(lifted_->view(), in.y(), steps / lifted_->steps(), state, sums);
  }
  if (done < steps)
    isa::lds().observe(gain_, in.y() + done * gain_.p * lanes, in.push(), steps - done, state, rows,
                       sums);
}

double recursion::cost() const {
  const index n = gain_.n, p = gain_.p;
  if (modes_)
    return static_cast<double>(2 * n + 2);
  return lifted_ ? cost_of(n, p, lifted_->steps()) : static_cast<double>(n * n + 3 * n * p + p * p);
}

void recursion::enter(const buffer &mean, double *state, index lane) const {
  const index n = gain_.n;
  for (index i = 0; i < n; ++i)
    state[i * lanes + lane] =
        modes_ ? small::dot(n, modes_->enter.data() + i * n, mean.data()) : mean[count(i)];
}

double recursion::size(const buffer &difference) const {
  const index n = gain_.n;
  double largest = 0;
  for (index i = 0; i < n; ++i) {
    const double part = modes_ ? small::dot(n, modes_->leave.data() + i * n, difference.data())
                               : difference[count(i)];
    const double scale = series_.steady.scale[count(i)];
    if (part != 0 && scale > 0)
      largest = std::max(largest, std::abs(part) / scale);
  }
  return largest;
}

} // namespace eigenflow::lds
