// SPDX-License-Identifier: BSD-3-Clause
// The basis of the short space. Block Krylov (Musco and Musco 2015) with small blocks, kept on one
// side: only V is orthogonalised, Y = A V never is. The space of A^T A grows by one block for each
// sweep over A, and stops growing when the leading Ritz values have stopped moving.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>

#include <numeric>

namespace eigenflow::svd {
namespace {

// The missing energy of the leading values, relative to the error's square, at which to stop.
constexpr double missing_energy = 2e-5;

index block_width(index rank, index short_side) {
  const index width = rank >= 0 && rank <= 16 ? 16 : 32;
  return std::clamp<index>(short_side / 8, 1, width);
}

// How the energy captured by the leading j values has grown over the last three bases.
class history {
public:
  void add(const std::vector<double> &squares) {
    older_.swap(old_);
    old_.swap(now_);
    now_.resize(squares.size() + 1);
    now_[0] = 0;
    std::partial_sum(squares.begin(), squares.end(), now_.begin() + 1);
  }
  double captured(index j) const { return as_size(j) < now_.size() ? now_[as_size(j)] : 0; }
  index count() const { return static_cast<index>(now_.size()) - 1; }

  // What the next blocks can still add to the leading j, by extending the gains as a geometric
  // series: the true gains fall faster. Infinite until two gains are known.
  double remaining(index j) const {
    const double r = ratio(j);
    return r < 0.9 ? gain(j) * r / (1 - r) : std::numeric_limits<double>::infinity();
  }

private:
  double gain(index j) const { return std::max(0.0, now_[as_size(j)] - old_[as_size(j)]); }
  double ratio(index j) const {
    if (as_size(j) >= older_.size())
      return std::numeric_limits<double>::infinity();
    return gain(j) > 0 ? gain(j) / (old_[as_size(j)] - older_[as_size(j)]) : 0;
  }

  std::vector<double> older_, old_, now_;
};

template <class T> class krylov {
  using W = wide_of<T>;

public:
  krylov(const linear_operator<T> &a, target &wanted, std::uint64_t key, int workers,
         subspace<T> &space)
      : a_(a), wanted_(wanted), key_(key), workers_(workers), space_(space),
        width_(block_width(wanted.rank, a.cols())) {
    space_.kept = !a.is_streamed() || wanted.norm_squared < 0;
    if (wanted.norm_squared < 0 && !wanted.by_spectral_tolerance()) {
      probe_ = std::make_unique<norm_probe<T>>(a, key, workers);
      ++space_.passes;
    }
  }
  int looks() const { return looks_; }

  // True when the basis holds what is wanted; false when the exact way is the cheaper one.
  bool run() {
    const index limit = a_.cols() / 2;
    const index first =
        wanted_.by_rank() ? wanted_.rank + wanted_.oversampling + 2 * width_ : 4 * width_;
    reserve(std::min(limit, first + first / 2) + width_);
    start_block(width_);
    for (;;) {
      sweep();
      if (done()) {
        space_.gram = gram_;
        return true;
      }
      if (out_of_reach())
        return false;
      if (space_.size + width_ > limit)
        return false;
    }
  }

private:
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
  void start_block(index width) {
    reserve(space_.size + width);
    const matrix_view<T> block = space_.v.view(space_.size, space_.size + width);
    fill_gaussian<T>(key_, 0, space_.size, block, workers_);
    orthogonalise(block);
  }

  // A^H Y of the newest block lies in the span of the two newest blocks and of the next one, but
  // for rounding: the first turn takes those two out, the second one the rounding along all of the
  // basis. What is left of a block that is in the basis's span points anywhere, and gets more.
  void orthogonalise(matrix_view<T> block) {
    const index size = space_.size;
    columns<T> coefficients(std::max<index>(1, size), block.cols);
    factor_.assign(as_size(block.cols * block.cols), W(0));
    std::vector<W> step(factor_.size());
    for (int turn = 0; turn < 4; ++turn) {
      const index first = turn == 0 ? std::max<index>(0, size - 2 * width_) : 0;
      const matrix_view<T> h =
          coefficients.view(0, block.cols).block(0, 0, size - first, block.cols);
      project_out<T>(space_.v.view(first, size), block, h, workers_);
      if (turn == 0 && size > 0)
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
  void keep_projection(matrix_view<T> h, index first) {
    const index rows = first + h.rows;
    projection_.assign(as_size(rows * h.cols), W(0));
    for (index j = 0; j < h.cols; ++j)
      for (index i = 0; i < h.rows; ++i)
        projection_[as_size(j * rows + first + i)] = static_cast<W>(h(i, j));
  }

  // One sweep over A: the image of the newest block, and from it the next block.
  void sweep() {
    const index begin = space_.size, width = width_;
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
    orthogonalise(w);
    append_projection();
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

  void append_projection() {
    const index size = space_.size, old = size - width_;
    std::vector<W> larger(as_size(size * size));
    for (index j = 0; j < old; ++j)
      std::copy_n(&gram_[as_size(j * old)], old, &larger[as_size(j * size)]);
    for (index j = 0; j < width_; ++j)
      for (index i = 0; i < size; ++i) {
        const W entry = projection_[as_size(j * size + i)];
        larger[as_size((old + j) * size + i)] = entry;
        larger[as_size(i * size + old + j)] = conjugate(entry);
      }
    gram_.swap(larger);
  }

  // The newest block led nowhere: what is left of A^T Y is the rounding of that product. Small
  // values lead to small blocks, which are not rounding as long as their own image is larger.
  bool exhausted() const {
    double sum = 0;
    for (const W entry : factor_)
      sum += squared(entry);
    const double rounding = 64 * epsilon<T>();
    return sum <= rounding * rounding * wanted_.norm_squared * newest_energy();
  }

  double newest_energy() const {
    double sum = 0;
    for (index j = space_.size - width_; j < space_.size; ++j)
      sum += std::real(gram_[as_size(j * space_.size + j)]);
    return sum;
  }

  void refill() {
    std::fill(space_.next.begin(), space_.next.end(), W(0));
    const matrix_view<T> block = space_.v.view(space_.size, space_.size + width_);
    fill_gaussian<T>(key_, 0, space_.size, block, workers_);
    orthogonalise(block);
  }

  double trace() const {
    double sum = 0;
    for (index j = 0; j < space_.size; ++j)
      sum += std::real(gram_[as_size(j * space_.size + j)]);
    return sum;
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
    } else if (space_.size < wanted_.rank + std::min(wanted_.oversampling, width_)) {
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
    const index size = space_.size;
    require_finite<W>(col_major(gram_.data(), size, size));
    space_.ritz = std::make_unique<const hermitian_spectrum<W>>(gram_, size);
    const std::vector<double> &squares = space_.ritz->values();
    past_.add(squares);
    if (wanted_.tolerance < 0)
      return settled(wanted_.rank);
    const index rank = rank_for(squares.data(), size, wanted_);
    if (rank < 0)
      return false;
    if (rank == 0)
      return true;
    // The rank is final when one less cannot come within the tolerance any more.
    const double below = wanted_.norm_squared - past_.captured(rank - 1);
    const bool least = below - past_.remaining(rank - 1) > wanted_.tolerance * wanted_.tolerance;
    return settled(rank) && (least || settled(rank - 1));
  }

  // The least rank that can be within the tolerance in the spectral norm, and proof that it is: an
  // upper bound on the error from what the basis knows and a bound on what it does not.
  bool certified() {
    const index size = space_.size;
    std::vector<W> vectors(gram_);
    std::vector<double> squares(as_size(size));
    const matrix_view<W> x = col_major(vectors.data(), size, size);
    require_finite(x);
    blas::syevd<W>(blas::triangle::upper, x, {squares.data(), size, 1});
    std::reverse(squares.begin(), squares.end());
    past_.add(squares);
    const double allowed = wanted_.spectral_allowance(squares[0]);
    unresolved_ = allowed < wanted_.floor * squares[0];
    index rank = 0;
    while (rank < size && squares[as_size(rank)] > allowed)
      ++rank;
    if (rank >= wanted_.rank) {
      wanted_.chosen = wanted_.rank;
      return size > wanted_.rank + width_ && settled(wanted_.rank);
    }
    if (unresolved_ || rank >= size || size < next_look_ ||
        !(past_.remaining(rank + 1) <= 0.05 * allowed))
      return false;
    next_look_ = size + size / 5;
    const double outside =
        outside_bound<T>(a_, space_.v.view(0, size), key_, workers_, space_.passes);
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

  bool settled(index rank) const { return past_.remaining(rank) <= allowed(rank); }

  // Of energy that may be missing in the leading values.
  double allowed(index rank) const {
    const double error = std::max(wanted_.norm_squared - past_.captured(rank), 0.0);
    const double rounding = 0.01 * wanted_.floor * wanted_.norm_squared;
    return std::max(missing_energy * error, rounding);
  }

  const linear_operator<T> &a_;
  target &wanted_;
  std::uint64_t key_;
  int workers_;
  subspace<T> &space_;
  index width_;
  int sweeps_below_ = 0;
  std::vector<W> factor_;                // of the newest orthogonalised block
  std::vector<W> projection_;            // of the newest block on the basis
  std::vector<W> gram_;                  // Y^H Y, size x size
  std::unique_ptr<norm_probe<T>> probe_; // where the norm of A is not known
  int looks_ = 0;
  index next_look_ = 0;     // size of the basis at which the next certificate is worth its products
  bool unresolved_ = false; // the tolerance is in the rounding of squares
  history past_;
};

} // namespace

template <class T>
bool build_krylov(const linear_operator<T> &a, target &wanted, std::uint64_t key, int workers,
                  subspace<T> &space, int &looks) {
  krylov<T> engine(a, wanted, key, workers, space);
  const bool enough = engine.run();
  looks = engine.looks();
  return enough;
}

#define EF_INSTANTIATE(T)                                                                          \
  template bool build_krylov<T>(const linear_operator<T> &, target &, std::uint64_t, int,          \
                                subspace<T> &, int &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
