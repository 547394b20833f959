// SPDX-License-Identifier: BSD-3-Clause
// The forward mode of Y = S X. The tangent of a phase is one more product of the factors and their
// tangents, with twice the columns:
//   omega (dU V^T + U dV^T) + domega U V^T = [omega dU + domega U, omega U] [V, dV]^T.
#include "sine_tiles.hpp"

#include <vector>

namespace eigenflow::sine {
namespace {

using namespace detail;

constexpr index rhs_block = 256;

template <class Real> struct tangent_problem {
  matrix_view<const Real> U, V, X;
  tangents<Real> along;
  matrix_view<Real> out;
  const options &opts;
};

template <class Real> class tangent_worker {
public:
  explicit tangent_worker(const tangent_problem<Real> &p)
      : p_(p), phases_({p.U, !p.opts.scale_right}, {p.V, p.opts.scale_right}, p.opts, 1),
        depth_(std::min(p.U.cols, depth_block)), sines_(uninitialised<Real>(tile_cols * lanes())),
        slopes_(uninitialised<Real>(tile_cols * lanes())),
        panel_(uninitialised<Real>(depth_ * lanes())),
        block_(uninitialised<Real>(depth_ * tile_cols)),
        x_(uninitialised<Real>(tile_cols * std::min(p.X.cols, rhs_block))),
        sums_(uninitialised<Real>(lanes() * std::min(p.X.cols, rhs_block))),
        dots_(uninitialised<Real>(lanes())) {}

  // Rows [i, i + rows) of the result, at most one panel, for right-hand sides [t, t + cols).
  // False when told to stop.
  template <class Stop> bool panel(index i, index rows, index t, index cols, Stop &&stop) {
    std::fill_n(sums_.get(), cols * lanes(), Real(0));
    phases_.set_panels(i, rows);
    for (index j = 0; j < p_.V.rows; j += tile_cols) {
      const index count = std::min(tile_cols, p_.V.rows - j);
      phases_.make(j, count, {sines_.get(), 0, lanes()}, [](index, Real *) {});
      tangent_phases(i, rows, j, count);
      std::fill_n(dots_.get(), lanes(), Real(0)); // of no use here, but must stay finite
      kernels<Real>().sines_and_slopes(sines_.get(), slopes_.get(), count, lanes(), dots_.get());
      pack(j, count, t, cols, 0, 1 / p_.opts.gain);
      apply(slopes_.get(), count, cols);
      pack(j, count, t, cols, 1 / p_.opts.gain, -p_.along.gain / (p_.opts.gain * p_.opts.gain));
      apply(sines_.get(), count, cols);
      if (stop())
        return false;
    }
    for (index r = 0; r < rows; ++r)
      for (index c = 0; c < cols; ++c)
        p_.out(i + r, t + c) = sums_[static_cast<std::size_t>(c * lanes() + r)];
    return true;
  }

private:
  static index lanes() { return kernels<Real>().lanes; }
  using view = matrix_view<const Real>;

  // slopes[c][lane] = the tangents of the phases, in radians.
  void tangent_phases(index i, index rows, index j, index count) {
    bool fresh = true;
    if (p_.along.U.data != nullptr || p_.along.omega != 0)
      fresh = add_phases(i, rows, j, count, p_.along.U, p_.along.omega, p_.V, fresh);
    if (p_.along.V.data != nullptr)
      fresh = add_phases(i, rows, j, count, {}, p_.opts.omega, p_.along.V, fresh);
    if (fresh)
      std::fill_n(slopes_.get(), tile_cols * lanes(), Real(0));
  }

  // Adds (omega dU + scale U) right^T, without dU when it has no data.
  bool add_phases(index i, index rows, index j, index count, view dU, double scale, view right,
                  bool fresh) {
    for (index l = 0; l == 0 || l < right.cols; l += depth_block) {
      const index depth = std::min(depth_block, right.cols - l);
      std::fill_n(panel_.get(), depth * lanes(), Real(0));
      for (index r = 0; r < rows; ++r)
        for (index c = 0; c < depth; ++c) {
          double u = scale * static_cast<double>(p_.U(i + r, l + c));
          if (dU.data != nullptr)
            u += p_.opts.omega * static_cast<double>(dU(i + r, l + c));
          panel_[static_cast<std::size_t>(c * lanes() + r)] = static_cast<Real>(u);
        }
      for (index r = 0; r < count; ++r)
        for (index c = 0; c < depth; ++c)
          block_[static_cast<std::size_t>(r * depth + c)] = right(j + r, l + c);
      kernels<Real>().phases(panel_.get(), block_.get(), depth, depth, count, fresh, slopes_.get(),
                             lanes());
      fresh = false;
    }
    return fresh;
  }

  // Right-hand sides dX * of_tangent + X * of_value, packed by columns.
  void pack(index j, index count, index t, index cols, double of_tangent, double of_value) {
    const auto dX = p_.along.X;
    for (index r = 0; r < count; ++r)
      for (index c = 0; c < cols; ++c) {
        double x = of_value * static_cast<double>(p_.X(j + r, t + c));
        if (dX.data != nullptr)
          x += of_tangent * static_cast<double>(dX(j + r, t + c));
        x_[static_cast<std::size_t>(c * count + r)] = static_cast<Real>(x);
      }
  }

  void apply(const Real *tile, index count, index cols) {
    kernels<Real>().apply(tile, lanes(), x_.get(), count, count, cols, lanes(), sums_.get(),
                          lanes());
  }

  const tangent_problem<Real> &p_;
  phase_maker<Real> phases_;
  index depth_;
  std::unique_ptr<Real[]> sines_, slopes_, panel_, block_, x_, sums_, dots_;
};

template <class Real>
void check_tangent(const char *name, matrix_view<const Real> a, matrix_view<const Real> like) {
  if (a.data != nullptr)
    check_shape(name, a, like.rows, like.cols);
}

} // namespace

template <class Real>
void jvp(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
         const tangents<Real> &along, matrix_view<Real> out, const options &opts) {
  check_product(U, V, X, out, opts, "out");
  check_tangent("along.U", along.U, U);
  check_tangent("along.V", along.V, V);
  check_tangent("along.X", along.X, X);
  require(std::isfinite(along.omega) && std::isfinite(along.gain), "along: want finite numbers");
  const tangent_problem<Real> problem{U, V, X, along, out, opts};
  std::vector<std::unique_ptr<tangent_worker<Real>>> workers(
      static_cast<std::size_t>(resolve_workers(opts.workers)));
  tile_stop stop;
  const auto body = [&](index begin, index end, int worker) {
    auto &own = workers[static_cast<std::size_t>(worker)];
    if (!own)
      own = std::make_unique<tangent_worker<Real>>(problem);
    interrupt_poll poll;
    const auto stopped = [&] { return stop.check(worker, poll); };
    for (index t = 0; t < X.cols; t += rhs_block)
      if (!own->panel(begin, end - begin, t, std::min(rhs_block, X.cols - t), stopped))
        return;
  };
  parallel_for(U.rows, kernels<Real>().lanes, body, opts.workers);
}

#define EF_INSTANTIATE(Real)                                                                       \
  template void jvp(matrix_view<const Real>, matrix_view<const Real>, matrix_view<const Real>,     \
                    const tangents<Real> &, matrix_view<Real>, const options &);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)
#undef EF_INSTANTIATE

} // namespace eigenflow::sine
