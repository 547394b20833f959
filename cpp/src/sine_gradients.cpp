// SPDX-License-Identifier: BSD-3-Clause
// The reverse mode of Y = S X. The columns of S are cut in strips, one a chunk: a strip owns its
// rows of dV and dX. It meets the rows of S in groups, and for each makes phases, G, sines and Q
// once, in the second cache. dU sums over strips: a strip adds to a group's rows after the strip
// before it has, so that the sum has one order and needs no memory of its own. Strips start in
// order, so they follow one another down the groups and hardly ever wait.
#include "sine_tiles.hpp"

#include <thread>
#include <vector>

namespace eigenflow::sine {
namespace {

using namespace detail;

constexpr index group_rows = 64;    // a whole number of panels at every level
constexpr index max_strip = 384;    // columns: S and G of a strip and a group stay in cache
constexpr index rhs_block = 256;    // right-hand sides that meet a tile at once
constexpr index factor_block = 128; // columns of V that are packed at once
constexpr index enough_chunks = 8;
constexpr index packed_bytes = 3 << 19;   // of a strip's rows of X, in blocks that are kept
constexpr double partial_bytes = 4 << 20; // of all sums that ranges of rows keep to themselves

// How S is cut. It depends on the shape only, and so do the bytes of the result.
struct partition {
  index strip, n_strips, range, n_ranges;

  partition(index m, index n, double row_bytes) {
    const index wanted = std::max<index>((n + max_strip - 1) / max_strip,
                                         std::min<index>(enough_chunks, n / tile_cols));
    strip = (n / std::max<index>(wanted, 1) + 31) / 32 * 32;
    strip = std::clamp<index>(strip, 32, max_strip);
    n_strips = (n + strip - 1) / strip;
    // Few columns: ranges of rows go in parallel too, each but the first with sums of its own.
    const double room = partial_bytes / std::max(1.0, row_bytes * static_cast<double>(n));
    const auto useful = static_cast<double>(std::min(enough_chunks / n_strips, m / 1024));
    n_ranges = static_cast<index>(std::clamp(std::min(useful, 1 + room), 1.0, 8.0));
    range = (m / n_ranges + group_rows) / group_rows * group_rows;
    n_ranges = (m + range - 1) / range;
  }
};

// Copies `from` times a scale to to[r * row_step + c * col_step], reading along contiguous memory.
template <class Real>
void copy_scaled(matrix_view<const Real> from, Real scale, Real *to, index row_step,
                 index col_step) {
  if (from.row_stride == 1 && from.col_stride != 1)
    return copy_scaled<Real>(from.transposed(), scale, to, col_step, row_step);
  for (index r = 0; r < from.rows; ++r)
    for (index c = 0; c < from.cols; ++c)
      to[r * row_step + c * col_step] = from(r, c) * scale;
}

template <class Real> void fill_zero(matrix_view<Real> a) {
  for (index r = 0; r < a.rows; ++r)
    for (index c = 0; c < a.cols; ++c)
      a(r, c) = 0;
}

// Sums over groups of rows: out[c] += sum over i of tile[c][i] * rows[i], for the columns c of a
// strip. Whole registers go to `out` itself, the odd columns at its end through a copy.
template <class Real> class strip_sum {
public:
  explicit strip_sum(bool wanted)
      : panel_(uninitialised<Real>(wanted ? group_rows * lanes() : 1)),
        tail_(uninitialised<Real>(wanted ? max_strip * vector_lanes() : 1)) {}

  void begin(matrix_view<Real> out) {
    out_ = out;
    if (out.data == nullptr)
      return;
    fill_zero(out);
    std::fill_n(tail_.get(), out.rows * vector_lanes(), Real(0));
  }

  void add(const Real *tile, matrix_view<const Real> rows, Real scale) {
    for (index c = 0; out_.data != nullptr && c < out_.cols; c += lanes()) {
      const index cols = std::min(lanes(), out_.cols - c);
      if (cols < lanes())
        std::fill_n(panel_.get(), rows.rows * lanes(), Real(0));
      copy_scaled<Real>(rows.block(0, c, rows.rows, cols), scale, panel_.get(), lanes(), 1);
      const index whole = cols / vector_lanes() * vector_lanes();
      if (whole > 0)
        multiply(tile, rows.rows, 0, whole, &out_(0, c), out_.row_stride);
      if (whole < cols)
        multiply(tile, rows.rows, whole, vector_lanes(), tail_.get(), vector_lanes());
    }
  }

  void end() {
    if (out_.data == nullptr)
      return;
    const index whole = out_.cols / vector_lanes() * vector_lanes();
    for (index r = 0; r < out_.rows; ++r)
      for (index c = whole; c < out_.cols; ++c)
        out_(r, c) = tail_[static_cast<std::size_t>(r * vector_lanes() + c - whole)];
  }

private:
  static index lanes() { return kernels<Real>().lanes; }
  static index vector_lanes() { return kernels<Real>().vector_lanes; }

  void multiply(const Real *tile, index depth, index first, index width, Real *to, index step) {
    kernels<Real>().apply(panel_.get() + first, lanes(), tile, group_rows, depth, out_.rows, width,
                          to, step);
  }

  matrix_view<Real> out_;
  std::unique_ptr<Real[]> panel_, tail_;
};

template <class Real> struct gradient_problem {
  matrix_view<const Real> U, V, X, Y; // Y: the gradient with respect to S X
  gradient_views<Real> out;
  const options &opts;
  matrix_view<const Real> W = {}; // with data: G = S - W instead of Y X^T
};

// One worker's memory, and its work on one strip and one group.
template <class Real> class strip_worker {
public:
  explicit strip_worker(const gradient_problem<Real> &p)
      : p_(p), phases_({p.U, !p.opts.scale_right}, {p.V, p.opts.scale_right}, p.opts,
                       group_rows / lanes()),
        sines_(uninitialised<Real>(max_strip * group_rows)),
        slopes_(uninitialised<Real>(max_strip * group_rows)),
        y_(uninitialised<Real>(std::min(rhs_block, p.X.cols) * group_rows)),
        x_(uninitialised<Real>(std::min(n_slots() * rhs_block, p.X.cols) * max_strip)),
        v_(uninitialised<Real>(std::min(factor_block, p.V.cols) * max_strip)),
        u_sum_(uninitialised<Real>(std::min(factor_block, p.V.cols) * group_rows)),
        v_sum_(p.out.V.data != nullptr), x_sum_(p.out.X.data != nullptr) {}

  void begin(index first, index cols, const gradient_views<Real> &sums) {
    first_ = first;
    cols_ = cols;
    packed_rhs_.assign(static_cast<std::size_t>(n_slots()), -1);
    packed_factor_ = -1;
    total_ = {0, {0, 0}};
    v_sum_.begin(sums.V);
    x_sum_.begin(sums.X);
  }

  // Rows [i, i + rows) of S. `before_adding` waits for the strip before, and is false to stop.
  template <class Wait> bool group(index i, index rows, Wait &&before_adding) {
    phases_.set_panels(i, rows);
    for (index c = 0; c < cols_; c += tile_cols) {
      const tile_place<Real> to{sines_.get() + c * group_rows, lanes(), group_rows};
      if (rows < group_rows)
        std::fill_n(to.data, std::min(tile_cols, cols_ - c) * group_rows, Real(0));
      phases_.make(first_ + c, std::min(tile_cols, cols_ - c), to, [](index, Real *) {});
    }
    p_.W.data == nullptr ? outer_product(i, rows) : residual(i, rows);
    Real dots[group_rows] = {};
    kernels<Real>().sines_and_slopes(sines_.get(), slopes_.get(), cols_, group_rows, dots);
    for (const Real dot : dots)
      total_.gradients.gain += static_cast<double>(dot);
    const auto inverse_gain = static_cast<Real>(1 / p_.opts.gain);
    x_sum_.add(sines_.get(), p_.Y.block(i, 0, rows, p_.Y.cols), inverse_gain);
    v_sum_.add(slopes_.get(), p_.U.block(i, 0, rows, p_.U.cols), static_cast<Real>(p_.opts.omega));
    return add_to_left(i, rows, before_adding);
  }

  residual_result end() {
    v_sum_.end();
    x_sum_.end();
    const auto &sums = total_.gradients;
    return {total_.loss, {sums.omega, -sums.gain / p_.opts.gain}};
  }

private:
  static index lanes() { return kernels<Real>().lanes; }

  // slopes[c][row] = G / gain.
  void outer_product(index i, index rows) {
    for (index t = 0; t < p_.X.cols; t += rhs_block) {
      const index depth = std::min(rhs_block, p_.X.cols - t);
      const auto x = right_hand_sides(t, depth);
      const auto inverse_gain = static_cast<Real>(1 / p_.opts.gain);
      for (index p = 0; p * lanes() < group_rows; ++p) {
        const index count = std::clamp<index>(rows - p * lanes(), 0, lanes());
        if (count < lanes())
          std::fill_n(y_.get(), depth * lanes(), Real(0));
        copy_scaled<Real>(p_.Y.block(i + p * lanes(), t, count, depth), inverse_gain, y_.get(), 1,
                          lanes());
        kernels<Real>().phases(y_.get(), x.data, x.row_stride, depth, cols_, t == 0,
                               slopes_.get() + p * lanes(), group_rows);
      }
    }
  }

  // slopes[c][row] = (S - W) / gain, and its part of the loss. The sines are made twice: here, and
  // where the slopes are multiplied by cosines.
  void residual(index i, index rows) {
    std::copy_n(sines_.get(), cols_ * group_rows, slopes_.get());
    kernels<Real>().sines(slopes_.get(), cols_ * group_rows);
    const auto inverse_gain = static_cast<Real>(1 / p_.opts.gain);
    for (index c = 0; c < cols_; ++c) {
      Real *slope = slopes_.get() + c * group_rows;
      std::fill(slope + rows, slope + group_rows, Real(0));
      double sum = 0;
      for (index r = 0; r < rows; ++r) {
        const Real difference = slope[r] * inverse_gain - p_.W(i + r, first_ + c);
        sum += static_cast<double>(difference) * static_cast<double>(difference);
        slope[r] = difference * inverse_gain;
      }
      total_.loss += sum / 2;
    }
  }

  // Blocks of right-hand sides whose packed copies are kept for all groups of rows. The last one
  // is packed again and again when there are more.
  index n_slots() const {
    const index slot_bytes = rhs_block * max_strip * static_cast<index>(sizeof(Real));
    return std::clamp<index>((p_.X.cols + rhs_block - 1) / rhs_block, 1, packed_bytes / slot_bytes);
  }

  // The strip's rows of X with contiguous right-hand sides: X itself, or a copy.
  matrix_view<const Real> right_hand_sides(index t, index depth) {
    const auto x = p_.X.block(first_, t, cols_, depth);
    if (x.col_stride == 1)
      return x;
    const index slot = std::min(t / rhs_block, n_slots() - 1);
    Real *to = x_.get() + slot * rhs_block * max_strip;
    auto &packed = packed_rhs_[static_cast<std::size_t>(slot)];
    if (packed != t)
      copy_scaled<Real>(x, Real(1), to, depth, 1);
    packed = t;
    return row_major<const Real>(to, cols_, depth);
  }

  // Adds omega Q V to the group's rows of dU, and <U, Q V> to the gradient of omega.
  template <class Wait> bool add_to_left(index i, index rows, Wait &&before_adding) {
    for (index l = 0; l < p_.V.cols; l += factor_block) {
      const index count = std::min(factor_block, p_.V.cols - l);
      if (packed_factor_ != l)
        copy_scaled<Real>(p_.V.block(first_, l, cols_, count), Real(1), v_.get(), 1, cols_);
      packed_factor_ = l;
      std::fill_n(u_sum_.get(), count * group_rows, Real(0));
      for (index c = 0; c < cols_; c += tile_cols)
        for (index p = 0; p < group_rows; p += lanes())
          kernels<Real>().apply(slopes_.get() + c * group_rows + p, group_rows, v_.get() + c, cols_,
                                std::min(tile_cols, cols_ - c), count, lanes(), u_sum_.get() + p,
                                group_rows);
      if (!before_adding())
        return false;
      for (index r = 0; r < rows; ++r)
        for (index c = 0; c < count; ++c)
          add_entry(i + r, l + c, u_sum_[static_cast<std::size_t>(c * group_rows + r)]);
    }
    return true;
  }

  void add_entry(index i, index l, Real sum) {
    total_.gradients.omega += static_cast<double>(p_.U(i, l)) * static_cast<double>(sum);
    if (p_.out.U.data != nullptr)
      p_.out.U(i, l) += static_cast<Real>(p_.opts.omega) * sum;
  }

  const gradient_problem<Real> &p_;
  phase_maker<Real> phases_;
  std::unique_ptr<Real[]> sines_, slopes_, y_, x_, v_, u_sum_;
  strip_sum<Real> v_sum_, x_sum_;
  index first_ = 0, cols_ = 0, packed_factor_ = -1;
  std::vector<index> packed_rhs_;
  residual_result total_{0, {0, 0}};
};

template <class Real> class gradient_pass {
public:
  explicit gradient_pass(const gradient_problem<Real> &p)
      : p_(p), cut_(p.U.rows, p.V.rows,
                    sizeof(Real) * static_cast<double>(p.V.cols * (p.out.V.data != nullptr) +
                                                       p.X.cols * (p.out.X.data != nullptr))),
        workers_(static_cast<std::size_t>(resolve_workers(p.opts.workers))),
        done_(static_cast<std::size_t>(cut_.n_ranges * cut_.n_strips)), parts_(done_.size()),
        sums_(make_sums()) {}

  residual_result run() {
    if (p_.out.U.data != nullptr)
      fill_zero(p_.out.U);
    const auto body = [this](index c, int worker) { chunk(c, worker); };
    parallel_chunks(cut_.n_ranges * cut_.n_strips, stop_, body, p_.opts.workers);
    for (index r = 1; r < cut_.n_ranges; ++r) {
      add(sums_[static_cast<std::size_t>(r)].V, p_.out.V);
      add(sums_[static_cast<std::size_t>(r)].X, p_.out.X);
    }
    residual_result total{0, {0, 0}};
    for (const auto &part : parts_)
      total = {total.loss + part.loss,
               {total.gradients.omega + part.gradients.omega,
                total.gradients.gain + part.gradients.gain}};
    return total;
  }

private:
  // Where each range of rows sums dV and dX: the first in the result.
  std::vector<gradient_views<Real>> make_sums() {
    std::vector<gradient_views<Real>> sums{p_.out};
    for (index r = 1; r < cut_.n_ranges; ++r)
      sums.push_back({{}, own(p_.out.V), own(p_.out.X)});
    return sums;
  }

  matrix_view<Real> own(matrix_view<Real> like) {
    if (like.data == nullptr)
      return {};
    memory_.push_back(uninitialised<Real>(like.rows * like.cols));
    return row_major(memory_.back().get(), like.rows, like.cols);
  }

  static void add(matrix_view<Real> from, matrix_view<Real> to) {
    for (index r = 0; r < from.rows; ++r)
      for (index c = 0; c < from.cols; ++c)
        to(r, c) += from(r, c);
  }

  static matrix_view<Real> rows_of(matrix_view<Real> a, index first, index count) {
    return a.data == nullptr ? a : a.block(first, 0, count, a.cols);
  }

  void chunk(index c, int worker) {
    auto &own = workers_[static_cast<std::size_t>(worker)];
    if (!own)
      own = std::make_unique<strip_worker<Real>>(p_);
    const index range = c / cut_.n_strips, strip = c % cut_.n_strips;
    const index first = strip * cut_.strip, cols = std::min(cut_.strip, p_.V.rows - first);
    const auto &sums = sums_[static_cast<std::size_t>(range)];
    own->begin(first, cols, {{}, rows_of(sums.V, first, cols), rows_of(sums.X, first, cols)});
    const bool alone = strip == 0 || p_.out.U.data == nullptr;
    interrupt_poll poll;
    const index last = std::min(p_.U.rows, (range + 1) * cut_.range);
    for (index i = range * cut_.range; i < last; i += group_rows) {
      const auto wait = [&] { return alone || wait_for(c - 1, i, worker, poll); };
      if (!own->group(i, std::min(group_rows, last - i), wait) || stop_.check(worker, poll))
        return;
      done_[static_cast<std::size_t>(c)].store(i + 1, std::memory_order_release);
    }
    parts_[static_cast<std::size_t>(c)] = own->end();
  }

  // Until chunk c has added its part of the group that begins with row i.
  bool wait_for(index c, index i, int worker, interrupt_poll &poll) {
    while (done_[static_cast<std::size_t>(c)].load(std::memory_order_acquire) <= i) {
      if (stop_.check(worker, poll))
        return false;
      std::this_thread::yield();
    }
    return true;
  }

  const gradient_problem<Real> &p_;
  partition cut_;
  std::vector<std::unique_ptr<strip_worker<Real>>> workers_;
  std::vector<std::atomic<index>> done_;
  std::vector<residual_result> parts_;
  std::vector<std::unique_ptr<Real[]>> memory_;
  std::vector<gradient_views<Real>> sums_;
  tile_stop stop_;
};

template <class Real>
void check_gradient(const char *name, matrix_view<Real> a, index rows, index cols) {
  if (a.data == nullptr)
    return;
  check_shape(name, a, rows, cols);
  require(a.col_stride == 1 || a.cols <= 1 || a.rows == 0,
          std::string(name) + ": want contiguous rows");
}

} // namespace

template <class Real>
scalar_gradients vjp(matrix_view<const Real> U, matrix_view<const Real> V,
                     matrix_view<const Real> X, matrix_view<const Real> grad_output,
                     const gradient_views<Real> &out, const options &opts) {
  check_factors(U, V, opts);
  check_shape("X", X, V.rows, X.cols);
  check_shape("grad_output", grad_output, U.rows, X.cols);
  check_gradient("out.U", out.U, U.rows, U.cols);
  check_gradient("out.V", out.V, V.rows, V.cols);
  check_gradient("out.X", out.X, X.rows, X.cols);
  if (U.rows == 0 || V.rows == 0 || X.cols == 0) {
    for (const auto &a : {out.U, out.V, out.X})
      fill_zero(a);
    return {0, 0};
  }
  const gradient_problem<Real> problem{U, V, X, grad_output, out, opts};
  return gradient_pass<Real>(problem).run().gradients;
}

template <class Real>
residual_result residual_gradients(matrix_view<const Real> U, matrix_view<const Real> V,
                                   matrix_view<const Real> W, const gradient_views<Real> &out,
                                   const options &opts) {
  check_factors(U, V, opts);
  check_shape("W", W, U.rows, V.rows);
  check_gradient("out.U", out.U, U.rows, U.cols);
  check_gradient("out.V", out.V, V.rows, V.cols);
  require(out.X.data == nullptr, "out.X: there are no right-hand sides here, want no data");
  for (const auto &a : {out.U, out.V})
    fill_zero(a);
  if (W.rows == 0 || W.cols == 0)
    return {0, {0, 0}};
  const gradient_problem<Real> problem{U, V, {}, {}, out, opts, W};
  return gradient_pass<Real>(problem).run();
}

#define EF_INSTANTIATE(Real)                                                                       \
  template scalar_gradients vjp(matrix_view<const Real>, matrix_view<const Real>,                  \
                                matrix_view<const Real>, matrix_view<const Real>,                  \
                                const gradient_views<Real> &, const options &);                    \
  template residual_result residual_gradients(matrix_view<const Real>, matrix_view<const Real>,    \
                                              matrix_view<const Real>,                             \
                                              const gradient_views<Real> &, const options &);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)
#undef EF_INSTANTIATE

} // namespace eigenflow::sine
