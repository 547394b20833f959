// SPDX-License-Identifier: BSD-3-Clause
// The basis of the short space. Block Krylov (Musco and Musco 2015) with small blocks, kept on one
// side: only V is orthogonalised, Y = A V never is. The space of A^T A grows by one block for each
// sweep over A, and stops growing when the leading Ritz values lack next to nothing.
#include "svd_convergence.hpp"
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>

#include <optional>
#include <utility>

namespace eigenflow::svd {
namespace {

// The missing energy of the leading values, relative to the error's square, at which to stop.
constexpr double missing_energy = 2e-5;
constexpr double product_rounding = 5; // of a column of A^H A V, times eps ||A||^2

index block_width(index rank, index short_side) {
  const index width = rank >= 0 && rank <= 16 ? 16 : 32;
  return std::clamp<index>(short_side / 8, 1, width);
}

template <class T> class krylov {
  using W = wide_of<T>;

public:
  krylov(const linear_operator<T> &a, target &wanted, std::uint64_t key, int workers,
         subspace<T> &space, index width)
      : a_(a), wanted_(wanted), key_(key), workers_(workers), space_(space), width_(width),
        limit_(a.cols() / 2) {
    space_.kept = !a.is_streamed() || wanted.norm_squared < 0;
    if (wanted.norm_squared < 0 && !wanted.by_spectral_tolerance()) {
      probe_ = std::make_unique<norm_probe<T>>(a, key, workers);
      ++space_.passes;
    }
  }
  int looks() const { return looks_; }
  index wider() const { return wider_; } // blocks are wanted, of this many columns, if not 0

  // True when the basis holds what is wanted; false when it cannot, or when the exact way is the
  // cheaper one.
  bool run() {
    const index first =
        wanted_.by_rank() ? wanted_.rank + wanted_.oversampling + 2 * width_ : 4 * width_;
    reserve(std::min(limit_, 2 * first + first / 2) + width_);
    start_block();
    for (;;) {
      sweep();
      if (done()) {
        if (space_.ritz == nullptr) // else its spectrum stands for it
          space_.gram = gram_copy();
        return true;
      }
      if (wider_ > 0 || out_of_reach() || is_last())
        return false;
    }
  }

private:
  bool is_last() const { return space_.size + width_ > limit_; }

  void reserve(index size) {
    if (space_.v.capacity() == 0) {
      space_.v = columns<T>(a_.cols(), size);
      if (space_.kept)
        space_.y = columns<T>(a_.rows(), size);
    }
    space_.v.grow(size);
    if (space_.kept)
      space_.y.grow(size);
  }

  // Fills the columns behind the basis with a fresh Gaussian block, orthogonal to it.
  void start_block() {
    reserve(space_.size + width_);
    const matrix_view<T> block = space_.v.view(space_.size, space_.size + width_);
    fill_gaussian<T>(key_, 0, space_.size, block, workers_);
    orthogonalise(block, false);
    next_is_fresh_ = true;
  }

  // A^H Y of the newest block lies in the span of the two newest blocks and of the next one, but
  // for rounding: the first turn takes those two out, the second one the rounding along all of the
  // basis. What is left of a block that is in the basis's span points anywhere, and gets more.
  void orthogonalise(matrix_view<T> block, bool is_image) {
    const index size = space_.size;
    columns<T> coefficients(std::max<index>(1, size), block.cols);
    factor_.assign(as_size(block.cols * block.cols), W(0));
    std::vector<W> step(factor_.size());
    for (int turn = 0; turn < 4; ++turn) {
      const index first = turn == 0 ? std::max<index>(0, size - 2 * width_) : 0;
      const matrix_view<T> h =
          coefficients.view(0, block.cols).block(0, 0, size - first, block.cols);
      project_out<T>(space_.v.view(first, size), block, h, workers_);
      if (turn == 0 && is_image)
        keep_projection(h, first);
      orthonormalise<T>(block, {step.data(), block.cols, block.cols, 1, block.cols}, workers_,
                        turn == 0);
      combine(step, turn == 0);
      if (turn > 0 && least_diagonal(step, block.cols) > 0.5)
        return;
    }
  }

  void combine(const std::vector<W> &step, bool first) {
    if (first) {
      factor_ = step;
      return;
    }
    const index n = static_cast<index>(std::lround(std::sqrt(static_cast<double>(step.size()))));
    std::vector<W> product(step.size());
    multiply<W>(col_major<const W>(step.data(), n, n), col_major<const W>(factor_.data(), n, n),
                W(0), col_major(product.data(), n, n));
    factor_.swap(product);
  }

  static double least_diagonal(const std::vector<W> &r, index n) {
    double least = std::numeric_limits<double>::infinity();
    for (index j = 0; j < n; ++j)
      least = std::min(least, std::abs(r[as_size(j * n + j)]));
    return least;
  }

  // V^H A^H Y_i is the block column i of Y^H Y: the Ritz values come from it at no further cost.
  // h has its rows from `first` on; above, there is rounding.
  void keep_projection(matrix_view<T> h, index first) {
    require_finite(h);
    const index size = space_.size, old = size - h.cols;
    if (size > gram_.capacity()) {
      columns<W> larger(2 * size, 2 * size);
      copy_upper(gram(old), larger.view(0, old).block(0, 0, old, old));
      gram_ = std::move(larger);
    }
    const matrix_view<W> newest = gram().block(0, old, size, h.cols);
    for (index j = 0; j < h.cols; ++j)
      std::fill_n(&newest(0, j), first, W(0));
    copy(h, newest.block(first, 0, h.rows, h.cols));
    newest_.reset();
  }

  // One sweep over A: the image of the newest block, and from it the next block.
  void sweep() {
    const index begin = space_.size, width = width_;
    newest_is_fresh_ = std::exchange(next_is_fresh_, false);
    reserve(begin + 2 * width);
    const matrix_view<T> w = space_.v.view(begin + width, begin + 2 * width);
    const matrix_view<T> v = space_.v.view(begin, begin + width);
    space_.ritz.reset();
    if (space_.kept)
      a_.apply_both(v, space_.y.view(begin, begin + width), w);
    else
      a_.apply_gram(v, w);
    space_.passes += a_.reads_once() ? 1 : 2;
    if (probe_)
      probe_->remove(v, space_.y.view(begin, begin + width));
    space_.size = begin + width;
    orthogonalise(w, true);
    if (wanted_.by_spectral_tolerance())
      wanted_.set_norm(std::max(wanted_.norm_squared, trace()));
    if (probe_) {
      wanted_.set_norm(trace() + probe_->energy());
      ++looks_;
    }
    space_.next = factor_;
    space_.next_rows = space_.next_cols = width;
    if (exhausted())
      refill();
  }

  matrix_view<W> gram(index size) { return gram_.view(0, size).block(0, 0, size, size); }
  matrix_view<W> gram() { return gram(space_.size); }
  std::vector<W> gram_copy() {
    std::vector<W> out;
    copy_upper(gram(), packed(out, space_.size, space_.size));
    mirror_upper(packed(out, space_.size, space_.size));
    return out;
  }

  // The newest block led nowhere: what is left of A^T Y is the rounding of that product. Small
  // values lead to small blocks, which are not rounding as long as their own image is larger.
  bool exhausted() {
    double sum = 0;
    for (const W entry : factor_)
      sum += squared(entry);
    const double rounding = 64 * epsilon<T>();
    return sum <= rounding * rounding * wanted_.norm_squared * newest_energy();
  }

  // Of the newest block alone.
  const block_values &newest_values() {
    const index first = space_.size - width_;
    if (!newest_) {
      hermitian_spectrum<W> block(gram().block(first, first, width_, width_));
      newest_ = {block.leading_values(1).front(), newest_energy() / static_cast<double>(width_)};
    }
    return *newest_;
  }

  double energy_from(index first) {
    const matrix_view<W> g = gram();
    double sum = 0;
    for (index j = first; j < g.cols; ++j)
      sum += std::real(g(j, j));
    return sum;
  }
  double newest_energy() { return energy_from(space_.size - width_); }
  double trace() { return energy_from(0); }

  void refill() {
    for (const W entry : factor_)
      dropped_squared_ += squared(entry);
    std::fill(space_.next.begin(), space_.next.end(), W(0));
    band_ = 2 * width_;
    start_block();
  }

  bool done() {
    if (wanted_.by_spectral_tolerance())
      return certified();
    const double left = wanted_.norm_squared - trace();
    const double rounding = wanted_.floor * wanted_.norm_squared;
    if (wanted_.tolerance >= 0) {
      // The least error that this basis allows, before any eigenvalue is computed.
      if (left > wanted_.tolerance * wanted_.tolerance && left > rounding)
        return false;
    } else if (space_.size < wanted_.rank + wanted_.oversampling) {
      return false;
    }
    const bool all = left <= rounding;
    if (all && wanted_.tolerance < 0)
      return bottom_reached();
    return ritz_converged() || all;
  }

  // What is left drowns in the rounding of ||A||^2, but not in that of the triplets: a sweep sees
  // directions down to sqrt(eps) of those before it, so two more reach eps. The newest block tells
  // when there is nothing to reach: its image is small and carries its own, smaller rounding.
  bool bottom_reached() {
    const double rounding = 64 * epsilon<T>();
    return newest_energy() <= rounding * rounding * wanted_.norm_squared || ++sweeps_below_ > 2;
  }

  // A tolerance that only showed itself with the estimated norm, below what tail energies resolve.
  bool out_of_reach() const {
    if (wanted_.by_spectral_tolerance())
      return unresolved_;
    const double allowed = wanted_.tolerance * wanted_.tolerance;
    return probe_ && wanted_.tolerance >= 0 && allowed < wanted_.floor * wanted_.norm_squared;
  }

  bool ritz_converged() {
    if (!is_worth_a_look())
      return false;
    const convergence before = ends_;
    index rank = inspect();
    // Where rounding hides energy, what is gained from look to look decides; single precision would
    // bring a rounding of its own into that.
    if (rank > 0 && !in_double_ && ends_.hidden(rank) > allowed(rank)) {
      in_double_ = true;
      ends_ = before;
      rank = inspect();
    }
    if (rank <= 0)
      return rank == 0;
    if (!settled(rank))
      return look_again(rank);
    const double outside = wanted_.norm_squared - trace();
    if (may_hide_copies(space_.ritz->leading_values(rank), rank, width_, outside)) {
      wider_ = rank + std::max(width_, wanted_.oversampling);
      return false;
    }
    if (wanted_.tolerance < 0)
      return true;
    // The rank is final when one less cannot come within the tolerance any more.
    const double below = wanted_.norm_squared - ends_.captured(rank - 1);
    const bool least = below - ends_.missing(rank - 1) > wanted_.tolerance * wanted_.tolerance;
    return least || settled(rank - 1);
  }

  // Looks at the Ritz values; returns the rank, negative where the basis cannot tell it.
  index inspect() {
    const index size = space_.size;
    space_.ritz = std::make_unique<hermitian_spectrum<W>>(
        in_double_ ? hermitian_spectrum<W>(gram()) : spectrum_of<T>(gram(), wanted_));
    const std::vector<double> &squares =
        space_.ritz->leading_values(wanted_.values_needed(size), workers_);
    const index rank =
        wanted_.tolerance < 0 ? wanted_.rank : rank_for(squares.data(), size, wanted_);
    if (rank <= 0)
      return rank;
    const bool above = squares[as_size(rank - 1)] * static_cast<double>(width_) > newest_energy();
    const matrix_view<const W> x = space_.ritz->leading_vectors(above ? rank : 0, workers_);
    look(squares, x.block(size - width_, 0, width_, x.cols));
    return rank;
  }

  // An eigenproblem costs as much as a sweep over a small A. By rank, the leading values settle
  // when they stand well above the newest block, which takes far less to see; where they never do,
  // in a flat spectrum, the basis is looked at once it is large.
  bool is_worth_a_look() {
    const index size = space_.size, rank = wanted_.rank;
    if (is_last() || next_is_fresh_) // an invariant basis, but for rounding
      return true;
    if (size < next_look_)
      return false;
    if (wanted_.tolerance >= 0 || size >= 2 * (rank + 2 * width_))
      return true;
    const double left = missing_energy * (wanted_.norm_squared - trace());
    return count_above<W>(gram(), band_, least_leading_value(newest_values().first, left)) >= rank;
  }

  // last: the entries of the leading vectors in the newest block.
  void look(const std::vector<double> &squares, matrix_view<const W> last) {
    columns<W> held(width_, last.cols);
    const matrix_view<W> residuals = held.view(0, last.cols);
    if (last.cols > 0)
      multiply<W>(col_major<const W>(space_.next.data(), width_, width_), last, W(0), residuals);
    const double rounding = product_rounding * epsilon<T>() * squares[0];
    ends_.look<W>(squares, residuals, std::hypot(rounding, std::sqrt(dropped_squared_)),
                  newest_values());
  }

  // Puts the next look where the leading values may have settled.
  bool look_again(index rank) {
    next_look_ = space_.size + width_ * pace_.blocks_to_wait(ends_.coming(rank), allowed(rank),
                                                             space_.size / width_);
    return false;
  }

  // The least rank that can be within the tolerance in the spectral norm, and proof that it is: an
  // upper bound on the error from what the basis knows and a bound on what it does not.
  bool certified() {
    const index size = space_.size;
    std::vector<W> vectors = gram_copy();
    std::vector<double> squares(as_size(size));
    const matrix_view<W> x = col_major(vectors.data(), size, size);
    blas::syevd<W>(blas::triangle::upper, x, {squares.data(), size, 1});
    std::reverse(squares.begin(), squares.end());
    columns<W> held(width_, size);
    const matrix_view<W> last = held.view(0, size);
    for (index j = 0; j < size; ++j) // of the largest value first
      std::copy_n(&x(size - width_, size - 1 - j), width_, &last(0, j));
    look(squares, last);
    const double allowed = wanted_.spectral_allowance(squares[0]);
    unresolved_ = allowed < wanted_.floor * squares[0];
    index rank = 0;
    while (rank < size && squares[as_size(rank)] > allowed)
      ++rank;
    if (rank >= wanted_.rank) {
      wanted_.chosen = wanted_.rank;
      return size > wanted_.rank + width_ && settled(wanted_.rank);
    }
    const double shown = newest_values().first * outside_over_shown_;
    if (unresolved_ || rank >= size || size < next_look_ || shown > allowed ||
        !(ends_.missing(rank + 1) <= 0.05 * allowed))
      return false;
    next_look_ = size + size / 5;
    const double outside =
        outside_bound<T>(a_, space_.v.view(0, size), key_, workers_, space_.passes);
    outside_over_shown_ *=
        std::max(1.0, outside * outside / std::max(shown, std::numeric_limits<double>::min()));
    // A second look may settle for one rank more: a value that is at the tolerance to rounding.
    for (index more = 0; more <= std::min<index>(looks_, 1) && rank + more < size; ++more) {
      const double bound = deflated_bound<W>(squares, x, space_.next, width_, rank + more, outside);
      if (bound <= allowed) {
        wanted_.chosen = rank + more;
        wanted_.certified = bound;
        ++looks_;
        return true;
      }
    }
    ++looks_;
    return false;
  }

  bool settled(index rank) const {
    const double most = allowed(rank);
    const bool gains = newest_is_fresh_ || ends_.gained(rank) > most;
    return ends_.missing(rank) <= most && (ends_.hidden(rank) <= most || !gains);
  }

  // Of energy that may be missing in the leading values.
  double allowed(index rank) const {
    const double error = std::max(wanted_.norm_squared - ends_.captured(rank), 0.0);
    const double rounding = 0.01 * wanted_.floor * wanted_.norm_squared;
    return std::max(missing_energy * error, rounding);
  }

  const linear_operator<T> &a_;
  target &wanted_;
  std::uint64_t key_;
  int workers_;
  subspace<T> &space_;
  index width_, limit_; // of a block, and of the basis
  index wider_ = 0;
  index band_ = width_; // of the projection: entries beside the diagonal, but for rounding
  int sweeps_below_ = 0;
  std::vector<W> factor_;                // of the newest orthogonalised block
  columns<W> gram_;                      // the upper triangle of Y^H Y in its first columns
  std::optional<block_values> newest_;   // of the newest block, once it was looked at
  std::unique_ptr<norm_probe<T>> probe_; // where the norm of A is not known
  int looks_ = 0;
  index next_look_ = 0;           // size of the basis at which the next look is worth its cost
  double outside_over_shown_ = 1; // the bound on values outside over those of the newest block
  bool next_is_fresh_ = false, newest_is_fresh_ = false; // blocks of random numbers
  double dropped_squared_ = 0; // of the factors of blocks that were taken for rounding
  bool unresolved_ = false;    // the tolerance is in the rounding of squares
  // Of the Ritz values; false while those of single precision are good enough.
  bool in_double_ = sizeof(real_of<T>) == sizeof(double) || !wanted_.by_rank();
  convergence ends_;
  pace pace_;
};

} // namespace

template <class T>
bool build_krylov(const linear_operator<T> &a, target &wanted, std::uint64_t key, int workers,
                  subspace<T> &space, int &looks) {
  for (index width = block_width(wanted.rank, a.cols());;) {
    krylov<T> engine(a, wanted, key, workers, space, width);
    const bool enough = engine.run();
    looks = engine.looks();
    if (engine.wider() == 0 || 4 * engine.wider() > a.cols()) {
      if (enough)
        polish(a, wanted, workers, space);
      return enough;
    }
    width = engine.wider();
    space.size = 0;
  }
}

#define EF_INSTANTIATE(T)                                                                          \
  template bool build_krylov<T>(const linear_operator<T> &, target &, std::uint64_t, int,          \
                                subspace<T> &, int &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
