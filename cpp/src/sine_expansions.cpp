// SPDX-License-Identifier: BSD-3-Clause
// S by sums of few products, S ~ A B^T: first Z = B^T X over the rows of V, then A Z over those of
// U. Columns of A and B ("features") are made for a tile of rows at a time, in double and with the
// rows as lanes, so that the bytes depend on no vector width.
#include "sine_tiles.hpp"

#include <eigenflow/errors.hpp>

#include <numbers>
#include <vector>

namespace eigenflow::sine {
namespace {

using namespace detail;

constexpr index max_rhs = 512;             // right-hand sides at once
constexpr index sum_bytes = 2 << 20;       // of the sums Z of all ranges of rows
constexpr index feature_entries = 1 << 16; // of a tile of features
constexpr index max_ranges = 8;
constexpr index max_terms = 1 << 16;

index rows_of_tile(index n_terms) {
  constexpr index group = isa::lagrange_group;
  static_assert(tile_cols % group == 0);
  return std::clamp(feature_entries / std::max<index>(n_terms, 1) / group * group, group,
                    tile_cols);
}

template <class Real> index padded(index n) {
  const index lanes = kernels<Real>().vector_lanes;
  return (n + lanes - 1) / lanes * lanes;
}

template <class Real> double largest_entry(matrix_view<const Real> a) {
  double largest = 0;
  for (index i = 0; i < a.rows; ++i)
    for (index l = 0; l < a.cols; ++l)
      largest = std::max(largest, std::abs(static_cast<double>(a(i, l))));
  return largest;
}

// --- The two kinds of features ------------------------------------------------------------------

// Differences of the Lagrange polynomials of a Chebyshev node and of its mirror image: the sine is
// odd. Polynomials of several variables are products, with the first variable slowest. The
// barycentric formula needs no care near a node: Berrut and Trefethen, SIAM Review 46 (2004).
class anchor_features {
public:
  explicit anchor_features(const anchor_grid &grid) : grid_(grid) {
    for (const index count : grid.counts) {
      std::vector<double> nodes, weights;
      for (index j = 0; j < count; ++j) {
        const double angle = std::numbers::pi * static_cast<double>(2 * j + 1 - count) /
                             static_cast<double>(2 * count);
        nodes.push_back(std::sin(angle));
        weights.push_back(j % 2 == 0 ? std::cos(angle) : -std::cos(angle));
      }
      nodes_.push_back(nodes);
      weights_.push_back(weights);
      n_terms_ *= count;
    }
    n_rest_ = n_terms_ / grid.counts[0];
    n_terms_ /= 2;
  }

  index n_terms() const { return n_terms_; }

  // The first half of the nodes, which stand for all: n_terms x k.
  template <class Real> std::vector<Real> nodes() const {
    const auto k = grid_.counts.size();
    std::vector<Real> all;
    for (index q = 0; q < n_terms_; ++q) {
      std::vector<Real> node(k);
      for (std::size_t l = k, rest = static_cast<std::size_t>(q); l-- > 0;) {
        const auto count = static_cast<std::size_t>(grid_.counts[l]);
        node[l] = static_cast<Real>(grid_.half_widths[l] * nodes_[l][rest % count]);
        rest /= count;
      }
      all.insert(all.end(), node.begin(), node.end());
    }
    return all;
  }

  // Doubles that `fill` needs for a tile of rows.
  index scratch(index rows) const {
    index n = rows + n_rest_;
    for (const index count : grid_.counts)
      n += count;
    return n * rows;
  }

  // to[q][row] for `rows` rows that are `step` apart, of which the first v.rows exist.
  template <class Real>
  void fill(matrix_view<const Real> v, index rows, double *scratch, Real *to) const {
    double *x = scratch, *values = x + rows;
    std::vector<const double *> factors;
    for (std::size_t l = 0; l < grid_.counts.size(); ++l) {
      for (index r = 0; r < rows; ++r) {
        const double entry =
            r < v.rows ? static_cast<double>(v(r, static_cast<index>(l))) / grid_.half_widths[l]
                       : 0.0;
        x[r] = entry > 1 ? 1 : entry < -1 ? -1 : entry;
      }
      isa::sine().lagrange(x, rows, nodes_[l].data(), weights_[l].data(), grid_.counts[l], values);
      factors.push_back(values);
      values += grid_.counts[l] * rows;
    }
    const double *rest = factors.back();
    if (factors.size() == 1) {
      std::fill_n(values, rows, 1.0);
      rest = values;
    } else if (factors.size() == 3) {
      isa::sine().outer(factors[1], grid_.counts[1], factors[2], grid_.counts[2], rows, values);
      rest = values;
    }
    kernels<Real>().odd_products(factors[0], grid_.counts[0], rest, n_rest_, rows, to);
  }

private:
  const anchor_grid &grid_;
  std::vector<std::vector<double>> nodes_, weights_;
  index n_terms_ = 1, n_rest_ = 1;
};

// Monomials of odd degree: each but those of degree 1 is one of a degree lower by two, times two
// variables.
class monomial_features {
public:
  monomial_features(index k, index order) : k_(k) {
    struct tail {
      index last, run; // the last variable and its power
    };
    std::vector<tail> tails;
    for (index l = 0; l < k; ++l) {
      steps_.push_back({-1, l, l});
      tails.push_back({l, 1});
      coefficients_.push_back(1);
    }
    index begin = 0;
    for (index degree = 3; degree <= order; degree += 2) {
      const index end = static_cast<index>(tails.size());
      for (index q = begin; q < end; ++q)
        for (index a = tails[at(q)].last; a < k; ++a)
          for (index b = a; b < k; ++b) {
            const index run = a == tails[at(q)].last ? tails[at(q)].run + 1 : 1;
            const index run_of_b = b == a ? run + 1 : 1;
            steps_.push_back({q, a, b});
            tails.push_back({b, run_of_b});
            coefficients_.push_back(-coefficients_[at(q)] / static_cast<double>(run * run_of_b));
          }
      begin = end;
      require(static_cast<index>(steps_.size()) <= max_terms, "order: too many monomials");
    }
  }

  index n_terms() const { return static_cast<index>(steps_.size()); }
  double coefficient(index q) const { return coefficients_[at(q)]; }
  index scratch(index rows) const { return (n_terms() + k_) * rows; }

  // to[q][row], of variables that are scaled(entry).
  template <class Real, class Scale>
  void fill(matrix_view<const Real> v, Scale &&scaled, index rows, double *scratch,
            Real *to) const {
    for (index l = 0; l < k_; ++l)
      for (index r = 0; r < rows; ++r)
        scratch[l * rows + r] = r < v.rows ? scaled(static_cast<double>(v(r, l))) : 0.0;
    kernels<Real>().monomials(scratch, steps_.data(), n_terms(), rows, scratch + k_ * rows, to);
  }

private:
  static std::size_t at(index q) { return static_cast<std::size_t>(q); }

  index k_;
  std::vector<isa::monomial_step> steps_;
  std::vector<double> coefficients_;
};

// --- Z = B^T X ----------------------------------------------------------------------------------

// Rows are cut in ranges by the shape alone; each has sums of its own, added in order.
template <class Real, class Fill> class feature_sums {
public:
  feature_sums(index n_rows, index n_terms, index rhs, index scratch, Fill fill, int workers)
      : fill_(fill), workers_(workers), n_rows_(n_rows), n_terms_(n_terms),
        width_(padded<Real>(rhs)), tile_(rows_of_tile(n_terms)), scratch_(scratch) {
    const index bytes = static_cast<index>(sizeof(Real)) * n_terms_ * width_;
    const double work = static_cast<double>(n_rows) * static_cast<double>(n_terms * (width_ + 32));
    const index useful = static_cast<index>(std::min(work / 4e6, 8.0));
    n_ranges_ =
        std::clamp<index>(std::min(useful, sum_bytes / std::max<index>(bytes, 1)), 1, max_ranges);
    range_ = (n_rows / n_ranges_ + tile_) / tile_ * tile_;
    n_ranges_ = std::max<index>((n_rows + range_ - 1) / range_, 1);
    sums_ = uninitialised<Real>(n_ranges_ * n_terms_ * width_);
  }

  // n_terms x rhs, until the next call.
  matrix_view<const Real> of(matrix_view<const Real> X) {
    std::fill_n(sums_.get(), n_ranges_ * n_terms_ * width_, Real(0));
    tile_stop stop;
    parallel_chunks(
        n_ranges_, stop, [&](index c, int worker) { range(X, c, worker, stop); }, workers_);
    for (index i = n_terms_ * width_; i < n_ranges_ * n_terms_ * width_; ++i)
      sums_[at(i % (n_terms_ * width_))] += sums_[at(i)];
    return {sums_.get(), n_terms_, X.cols, width_, 1};
  }

private:
  static std::size_t at(index i) { return static_cast<std::size_t>(i); }

  void range(matrix_view<const Real> X, index c, int worker, tile_stop &stop) {
    const auto features = uninitialised<Real>(n_terms_ * tile_),
               x = uninitialised<Real>(tile_ * width_);
    const auto scratch = uninitialised<double>(scratch_);
    const index lanes = kernels<Real>().lanes, last = std::min(n_rows_, (c + 1) * range_);
    interrupt_poll poll;
    for (index i = c * range_; i < last; i += tile_) {
      const index count = std::min(tile_, last - i);
      fill_(i, count, tile_, scratch.get(), features.get());
      std::fill_n(x.get(), count * width_, Real(0));
      for (index r = 0; r < count; ++r)
        for (index t = 0; t < X.cols; ++t)
          x[at(r * width_ + t)] = X(i + r, t);
      for (index t = 0; t < width_; t += lanes)
        kernels<Real>().apply(x.get() + t, width_, features.get(), tile_, count, n_terms_,
                              std::min(lanes, width_ - t), sums_.get() + c * n_terms_ * width_ + t,
                              width_);
      if (stop.check(worker, poll))
        return;
    }
  }

  Fill fill_;
  int workers_;
  index n_rows_, n_terms_, width_, tile_, scratch_, n_ranges_ = 1, range_ = 1;
  std::unique_ptr<Real[]> sums_;
};

// Right-hand sides at once, so that two ranges of rows have room for their sums: each further block
// makes the features again.
template <class Real> index rhs_block(index n_terms, index rhs) {
  const index lanes = kernels<Real>().vector_lanes;
  const index room = sum_bytes / 2 / static_cast<index>(sizeof(Real)) / n_terms;
  return std::min(rhs, std::clamp<index>(room / lanes * lanes, lanes, max_rhs));
}

// --- A Z of monomials ---------------------------------------------------------------------------

// Y = sum over q of coefficient_q / gain * monomial_q(omega width U) Z_q.
template <class Real>
void apply_monomials(const monomial_features &features, matrix_view<const Real> U, double width,
                     matrix_view<const Real> Z, matrix_view<Real> Y, const options &opts) {
  const index q = features.n_terms(), rows = rows_of_tile(q), lanes = kernels<Real>().lanes;
  const auto weighted = uninitialised<Real>(Y.cols * q);
  for (index t = 0; t < Y.cols; ++t)
    for (index i = 0; i < q; ++i)
      weighted[static_cast<std::size_t>(t * q + i)] =
          static_cast<Real>(features.coefficient(i) / opts.gain * static_cast<double>(Z(i, t)));
  tile_stop stop;
  const auto body = [&](index begin, index end, int worker) {
    const auto made = uninitialised<Real>(q * rows), sums = uninitialised<Real>(Y.cols * rows);
    const auto scratch = uninitialised<double>(features.scratch(rows));
    interrupt_poll poll;
    for (index i = begin; i < end; i += rows) {
      const index count = std::min(rows, end - i);
      features.fill<Real>(
          U.block(i, 0, count, U.cols), [&](double u) { return opts.omega * u * width; }, rows,
          scratch.get(), made.get());
      std::fill_n(sums.get(), Y.cols * rows, Real(0));
      for (index p = 0; p < rows; p += lanes)
        kernels<Real>().apply(made.get() + p, rows, weighted.get(), q, q, Y.cols,
                              std::min(lanes, rows - p), sums.get() + p, rows);
      for (index r = 0; r < count; ++r)
        for (index t = 0; t < Y.cols; ++t)
          Y(i + r, t) = sums[static_cast<std::size_t>(t * rows + r)];
      if (stop.check(worker, poll))
        return;
    }
  };
  const double tile_work = static_cast<double>(rows * q * (Y.cols + 32));
  const auto tiles = static_cast<index>(std::clamp(4e6 / tile_work, 1.0, 1e6));
  parallel_for(Y.rows, rows * tiles, body, opts.workers);
}

} // namespace

template <class Real>
void apply_anchors(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
                   matrix_view<Real> Y, const anchor_grid &grid, const options &opts) {
  check_product(U, V, X, Y, opts);
  const auto k = static_cast<std::size_t>(V.cols);
  require(k >= 1 && k <= 3, "V: got " + std::to_string(k) + " columns, want 1 to 3");
  require(grid.counts.size() == k && grid.half_widths.size() == k,
          "grid: want one count and one width for each column of V");
  index n_nodes = 1;
  for (std::size_t l = 0; l < k; ++l) {
    require(grid.counts[l] >= 2 && grid.counts[l] % 2 == 0 && grid.counts[l] <= max_terms,
            "grid: want even counts of at least 2");
    require(grid.half_widths[l] > 0, "grid: want positive widths");
    n_nodes *= grid.counts[l];
    require(n_nodes <= 2 * max_terms, "grid: too many nodes");
  }
  const anchor_features features(grid);
  const index q = features.n_terms(), rhs = rhs_block<Real>(q, X.cols);
  const auto nodes = features.nodes<Real>();
  const auto fill = [&](index i, index count, index rows, double *scratch, Real *to) {
    features.fill<Real>(V.block(i, 0, count, V.cols), rows, scratch, to);
  };
  feature_sums<Real, decltype(fill)> sums(V.rows, q, rhs, features.scratch(rows_of_tile(q)), fill,
                                          opts.workers);
  for (index t = 0; t < X.cols; t += rhs) {
    const index cols = std::min(rhs, X.cols - t);
    const auto Z = sums.of(X.block(0, t, X.rows, cols));
    apply<Real>(U, row_major(nodes.data(), q, V.cols), Z, Y.block(0, t, Y.rows, cols), opts);
  }
}

template <class Real>
void apply_taylor(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
                  matrix_view<Real> Y, index order, const options &opts) {
  check_product(U, V, X, Y, opts);
  require(V.cols >= 1, "V: got 0 columns, want at least 1");
  require(order >= 1 && order % 2 == 1, "order: want an odd number of at least 1");
  const monomial_features features(V.cols, order);
  // Monomials of V / width are at most 1, and those of omega width U of the size of a phase.
  const double largest = largest_entry(V), width = largest > 0 ? largest : 1;
  const index q = features.n_terms(), rhs = rhs_block<Real>(q, X.cols);
  const auto fill = [&](index i, index count, index rows, double *scratch, Real *to) {
    features.fill<Real>(
        V.block(i, 0, count, V.cols), [&](double v) { return v / width; }, rows, scratch, to);
  };
  feature_sums<Real, decltype(fill)> sums(V.rows, q, rhs, features.scratch(rows_of_tile(q)), fill,
                                          opts.workers);
  for (index t = 0; t < X.cols; t += rhs) {
    const index cols = std::min(rhs, X.cols - t);
    const auto Z = sums.of(X.block(0, t, X.rows, cols));
    apply_monomials<Real>(features, U, width, Z, Y.block(0, t, Y.rows, cols), opts);
  }
}

#define EF_INSTANTIATE(Real)                                                                       \
  template void apply_anchors(matrix_view<const Real>, matrix_view<const Real>,                    \
                              matrix_view<const Real>, matrix_view<Real>, const anchor_grid &,     \
                              const options &);                                                    \
  template void apply_taylor(matrix_view<const Real>, matrix_view<const Real>,                     \
                             matrix_view<const Real>, matrix_view<Real>, index, const options &);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)
#undef EF_INSTANTIATE

} // namespace eigenflow::sine
