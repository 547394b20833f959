// SPDX-License-Identifier: BSD-3-Clause
// Pivots come from a sketch G^H A with a Gaussian G of a few columns, whose columns have the
// lengths and angles of those of A (Voronin and Martinsson 2017). What is reported does not trust
// it: the chosen columns are read and orthonormalised, and R = Q^H A is a product with A itself.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/interpolative.hpp>

#include <numeric>
#include <span>

namespace eigenflow::interpolative {
namespace {

using svd::as_size;
using svd::columns;

svd::options as_svd(const options &asked) {
  svd::options out;
  out.rank = asked.rank;
  out.tolerance = asked.tolerance;
  out.relative_tolerance = asked.relative_tolerance;
  out.oversampling = asked.oversampling;
  return out;
}

template <class T> class pivoting {
  using W = wide_of<T>;

public:
  pivoting(const svd::linear_operator<T> &a, const options &options)
      : a_(a), options_(options), m_(a.rows()), n_(a.cols()),
        wanted_(svd::target_of<T>(a, as_svd(options))) {}

  pivoted_qr_result<T> run() {
    out_.pivots.resize(as_size(n_));
    std::iota(out_.pivots.begin(), out_.pivots.end(), index{0});
    if (wanted_.short_side == 0)
      wanted_.set_norm(0);
    if (wanted_.norm_squared == 0)
      take_unit_vectors();
    else
      find_columns();
    find_error();
    finish();
    return std::move(out_);
  }

private:
  double norm() const { return std::sqrt(std::max(wanted_.norm_squared, 0.0)); }
  double allowed() const { return wanted_.tolerance * wanted_.tolerance; }

  void take_unit_vectors() {
    out_.rank = wanted_.by_rank() ? wanted_.rank : 0;
    out_.q.assign(as_size(m_ * out_.rank), T(0));
    const matrix_view<T> q = svd::packed(out_.q, m_, out_.rank);
    for (index j = 0; j < out_.rank; ++j)
      q(j, j) = T(1);
    out_.r.assign(as_size(out_.rank * n_), T(0));
    left_ = 0;
  }

  void find_columns() {
    if (wanted_.rank == 0) {
      estimated_ = wanted_.norm_squared < 0;
      if (estimated_)
        wanted_.set_norm(outside(0));
      left_ = wanted_.norm_squared;
      return;
    }
    svd::refuse_unresolvable<T>(wanted_, a_);
    if (wanted_.below_floor() || !by_sketch())
      by_exact();
  }

  // The sketch doubles until the columns are enough; where it comes near the full decomposition,
  // that one takes over.
  bool by_sketch() {
    estimated_ = wanted_.norm_squared < 0;
    const index least = wanted_.by_rank() ? wanted_.rank : std::min<index>(wanted_.rank, 24);
    for (index count = least;; count = std::min(wanted_.rank, 2 * count)) {
      const index size = count + std::min(options_.oversampling, wanted_.short_side);
      if (2 * size > wanted_.short_side)
        return false;
      extend_sketch(size);
      if (choose(count))
        return true;
    }
  }

  // sketch_ = A^H G: its columns [sketched_, size) are new.
  void extend_sketch(index size) {
    if (sketched_ == 0)
      sketch_ = columns<T>(n_, size);
    sketch_.grow(size);
    columns<T> held(m_, size - sketched_);
    const matrix_view<T> g = held.view(0, size - sketched_);
    svd::fill_gaussian<T>(options_.key, 0, sketched_, g, options_.workers);
    a_.apply_adjoint(g, sketch_.view(sketched_, size));
    sketched_ = size;
    ++out_.passes;
  }

  // The first `count` pivots of the sketch, their QR, R = Q^H A; true when the tolerance is met.
  bool choose(index count) {
    columns<W> held(sketched_, n_);
    const matrix_view<W> s = held.view(0, n_);
    const matrix_view<T> adjoint = sketch_.view(0, sketched_);
    for (index j = 0; j < n_; ++j)
      for (index i = 0; i < sketched_; ++i)
        s(i, j) = static_cast<W>(conjugate(adjoint(j, i)));
    svd::require_finite(s);
    std::vector<W> tau(as_size(std::min(sketched_, n_)));
    blas::geqp3<W>(s, out_.pivots, {tau.data(), static_cast<index>(tau.size()), 1});
    factorise(count);
    project(count);
    return cut(count);
  }

  // q = the chosen columns, orthonormal; the pivots in the order that their own QR wants.
  void factorise(index count) {
    basis_ = columns<T>(m_, count);
    const matrix_view<T> q = basis_.view(0, count);
    const std::span<index> chosen(out_.pivots.data(), as_size(count));
    a_.gather(chosen, q);
    ++out_.passes;
    columns<W> held(count, count);
    factor_ = columns<W>(count, count);
    const matrix_view<W> turn = held.view(0, count), r = factor_.view(0, count);
    svd::orthonormalise<T>(q, turn, options_.workers);
    svd::require_finite(turn);
    std::vector<index> order(as_size(count)), before(chosen.begin(), chosen.end());
    std::vector<W> tau(as_size(count));
    blas::geqp3<W>(turn, order, {tau.data(), count, 1});
    take_upper(turn, r);
    blas::orgqr<W>(turn, {tau.data(), count, 1});
    fix_phases(turn, r);
    svd::turn_columns<T>(q, turn, options_.workers);
    for (index j = 0; j < count; ++j)
      chosen[as_size(j)] = before[as_size(order[as_size(j)])];
  }

  static void take_upper(matrix_view<const W> from, matrix_view<W> r) {
    for (index j = 0; j < r.cols; ++j)
      for (index i = 0; i < r.rows; ++i)
        r(i, j) = i <= j ? from(i, j) : W(0);
  }

  // The diagonal of R real and not negative.
  static void fix_phases(matrix_view<W> q, matrix_view<W> r) {
    for (index i = 0; i < std::min(q.cols, r.rows); ++i) {
      const double size = std::abs(r(i, i));
      if (!(size > 0))
        continue;
      const W phase = r(i, i) / size;
      for (index j = i; j < r.cols; ++j)
        r(i, j) *= conjugate(phase);
      r(i, i) = W(size);
      for (index j = 0; j < q.rows; ++j)
        q(j, i) *= phase;
    }
  }

  // R^H = A^H Q, its rows in the order of A's columns.
  void project(index count) {
    image_ = columns<T>(n_, count);
    a_.apply_adjoint(basis_.view(0, count), image_.view(0, count));
    ++out_.passes;
    squares_.assign(as_size(count), 0.0);
    for (index i = 0; i < count; ++i)
      squares_[as_size(i)] = svd::squared_norm(image_.view(i, i + 1).col(0));
    const double inside = std::accumulate(squares_.begin(), squares_.end(), 0.0);
    require(std::isfinite(inside), "A: holds, or leads to, values that are not finite");
    if (estimated_) {
      left_ = outside(count);
      wanted_.set_norm(inside + left_);
    } else {
      left_ = std::max(0.0, wanted_.norm_squared - inside);
    }
  }

  // An estimate of ||A - Q Q^H A||^2.
  double outside(index count) {
    svd::norm_probe<T> probe(a_, options_.key, options_.workers);
    ++out_.looks;
    ++out_.passes;
    probe.remove_range(basis_.view(0, count));
    return probe.energy();
  }

  // The QR is nested: the first j columns leave the rows after them, too.
  bool cut(index count) {
    index rank = count;
    if (!wanted_.by_rank()) {
      if (estimated_ && wanted_.below_floor())
        return false;
      if (left_ > allowed() && count < wanted_.rank)
        return false;
      while (rank > 0 && left_ + squares_[as_size(rank - 1)] <= allowed())
        left_ += squares_[as_size(--rank)];
    }
    take(rank);
    if (!estimated_ && left_ < wanted_.floor * wanted_.norm_squared && rank > 0) {
      out_.looks = 0;
      left_ = outside(rank);
    }
    return true;
  }

  void take(index rank) {
    out_.rank = rank;
    svd::copy(basis_.view(0, rank), svd::packed(out_.q, m_, rank));
    out_.r.resize(as_size(rank * n_));
    const matrix_view<T> r = row_major(out_.r.data(), rank, n_), image = image_.view(0, rank);
    const matrix_view<W> factor = factor_.view(0, factor_.capacity());
    for (index j = 0; j < n_; ++j)
      for (index i = 0; i < rank; ++i)
        r(i, j) = j < factor.cols ? static_cast<T>(factor(i, j))
                                  : conjugate(image(out_.pivots[as_size(j)], i));
    out_.route = method::sketch;
  }

  void by_exact() {
    const blas::threads lapack = svd::threads_for(std::min(m_, n_), options_.workers);
    columns<T> entries(m_, n_);
    a_.to_dense(entries.view(0, n_));
    ++out_.passes;
    columns<W> held(m_, n_);
    const matrix_view<W> g = held.view(0, n_);
    svd::copy(entries.view(0, n_), g);
    entries = {};
    svd::require_finite(g);
    if (a_.frobenius_norm() < 0) {
      double sum = 0;
      for (index j = 0; j < n_; ++j)
        sum += svd::squared_norm(g.col(j));
      require(std::isfinite(sum), "A: holds, or leads to, values that are not finite");
      wanted_.set_norm(sum);
      svd::refuse_unresolvable<T>(wanted_, a_);
    }
    estimated_ = false;
    out_.looks = 0;
    const index side = wanted_.short_side;
    std::vector<W> tau(as_size(side));
    blas::geqp3<W>(g, out_.pivots, {tau.data(), side, 1});
    factor_ = columns<W>(side, n_);
    const matrix_view<W> r = factor_.view(0, n_);
    take_upper(g, r);
    cut_exact(r);
    const matrix_view<W> q = g.block(0, 0, m_, out_.rank);
    blas::orgqr<W>(q, {tau.data(), out_.rank, 1});
    fix_phases(q, r.block(0, 0, out_.rank, n_));
    svd::copy(q, svd::packed(out_.q, m_, out_.rank));
    out_.r.resize(as_size(out_.rank * n_));
    svd::copy(r.block(0, 0, out_.rank, n_), row_major(out_.r.data(), out_.rank, n_));
    out_.route = method::exact;
  }

  void cut_exact(matrix_view<W> r) {
    std::vector<double> squares(as_size(r.rows));
    for (index i = 0; i < r.rows; ++i)
      squares[as_size(i)] = svd::squared_norm(r.row(i));
    out_.rank = svd::rank_from_tails(squares, wanted_, &left_);
  }

  void find_error() {
    if (out_.looks > 0)
      out_.kind = svd::error_kind::hold_out;
    out_.error = std::sqrt(left_);
    out_.norm = norm();
  }

  // In the units of the user's matrix.
  void finish() {
    const double back = 1 / a_.scale();
    for (T &entry : out_.r)
      entry = static_cast<T>(static_cast<W>(entry) * back);
    out_.error *= back;
    out_.norm *= back;
  }

  const svd::linear_operator<T> &a_;
  const options &options_;
  index m_, n_;
  svd::target wanted_;
  columns<T> sketch_, basis_, image_;
  columns<W> factor_;
  index sketched_ = 0;
  std::vector<double> squares_; // of the rows of R
  double left_ = 0;             // ||A - Q Q^H A||^2
  bool estimated_ = false;      // the norm
  pivoted_qr_result<T> out_;
};

} // namespace

template <class T>
pivoted_qr_result<T> pivoted_qr(const svd::linear_operator<T> &a, const options &options) {
  return pivoting<T>(a, options).run();
}

template <class T>
std::vector<T> coefficients(const pivoted_qr_result<T> &qr, index rows, index cols) {
  using W = wide_of<T>;
  const index k = qr.rank;
  const matrix_view<const T> r = row_major(qr.r.data(), k, cols);
  const double rounding = svd::epsilon<T>() * std::sqrt(static_cast<double>(std::max(rows, cols)));
  index independent = 0;
  while (independent < k && std::abs(r(independent, independent)) > rounding * std::abs(r(0, 0)))
    ++independent;
  columns<W> held(independent, cols);
  const matrix_view<W> solved = held.view(0, cols);
  svd::copy(r.block(0, 0, independent, cols), solved);
  columns<W> triangle(independent, independent);
  svd::copy(solved.block(0, 0, independent, independent), triangle.view(0, independent));
  blas::trsm<W>(blas::side::left, blas::triangle::upper, blas::transpose::no, W(1),
                triangle.view(0, independent), solved.block(0, k, independent, cols - k));
  std::vector<T> out(as_size(k * cols));
  const matrix_view<T> c = row_major(out.data(), k, cols);
  for (index j = 0; j < cols; ++j) {
    const index at = qr.pivots[as_size(j)];
    if (j < k)
      c(j, at) = T(1);
    else
      for (index i = 0; i < independent; ++i)
        c(i, at) = static_cast<T>(solved(i, j));
  }
  return out;
}

#define EF_INSTANTIATE(T)                                                                          \
  template pivoted_qr_result<T> pivoted_qr<T>(const svd::linear_operator<T> &, const options &);   \
  template std::vector<T> coefficients<T>(const pivoted_qr_result<T> &, index, index);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::interpolative
