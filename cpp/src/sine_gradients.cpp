// SPDX-License-Identifier: BSD-3-Clause
// The reverse mode of Y = S X. The columns of S are cut in strips, one a chunk: a strip owns its
// rows of dV and dX. It meets the rows of S in groups, and for each makes phases, G, sines and Q
// once, in the second cache. dU sums over strips: a strip adds to a group's rows after the strip
// before it has, so that the sum has one order and needs no memory of its own. Strips start in
// order, so they follow one another down the groups and hardly ever wait.
#include "sine_strips.hpp"

#include <thread>
#include <vector>

namespace eigenflow::sine {
namespace {

using namespace detail;

constexpr index enough_chunks = 8;
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
  check_product(U, V, X, grad_output, opts, "grad_output");
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
