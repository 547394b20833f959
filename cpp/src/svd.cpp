// SPDX-License-Identifier: BSD-3-Clause
// The driver: which way to go, how large the error is, which sign a vector has.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/rng.hpp>

#include <string>

namespace eigenflow::svd {
namespace {

// The tail energy ||A||^2 - sum s^2 is lost in rounding below this fraction of ||A||^2.
template <class T> constexpr double energy_floor() { return 64 * epsilon<T>(); }

constexpr index hold_out_column = index{1} << 40; // far from the columns that the basis draws

template <class T> class adjoint_operator final : public linear_operator<T> {
public:
  explicit adjoint_operator(const linear_operator<T> &a) : a_(a) {}
  index rows() const override { return a_.cols(); }
  index cols() const override { return a_.rows(); }
  void apply(matrix_view<const T> x, matrix_view<T> y) const override { a_.apply_adjoint(x, y); }
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override { a_.apply(x, y); }
  double frobenius_norm() const override { return a_.frobenius_norm(); }

private:
  const linear_operator<T> &a_;
};

template <class T> factors<T> unit_vectors(index rows, index cols, index rank) {
  factors<T> out;
  out.rank = rank;
  out.s.assign(as_size(rank), 0.0);
  out.residuals.assign(as_size(rank), 0.0);
  const matrix_view<T> left = packed(out.left, rows, rank), right = packed(out.right, cols, rank);
  for (index j = 0; j < rank; ++j)
    left(j, j) = right(j, j) = T(1);
  return out;
}

// Largest entry of each right vector positive, the first one on ties.
template <class T> void fix_signs(result<T> &out, index rows, index cols) {
  const matrix_view<T> u = packed(out.u, rows, out.rank), v = packed(out.v, cols, out.rank);
  for (index j = 0; j < out.rank; ++j) {
    index at = 0;
    for (index i = 1; i < cols; ++i)
      if (std::abs(v(i, j)) > std::abs(v(at, j)))
        at = i;
    if (!(v(at, j) < 0))
      continue;
    for (index i = 0; i < cols; ++i)
      v(i, j) = -v(i, j);
    for (index i = 0; i < rows; ++i)
      u(i, j) = -u(i, j);
  }
}

template <class T> double squared_norm(vector_view<const T> x) {
  double sum = 0;
  for (index i = 0; i < x.size; ++i)
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

template <class T> class decomposition {
public:
  decomposition(const linear_operator<T> &a, const options &options)
      : a_(a), options_(options), m_(a.rows()), n_(a.cols()), smaller_(std::min(m_, n_)) {
    const double norm = a.frobenius_norm();
    require(std::isfinite(norm), "A: its Frobenius norm is not finite");
    require(options.rank >= -1 && options.rank <= smaller_,
            "rank: got " + std::to_string(options.rank) + ", want 0 to " +
                std::to_string(smaller_));
    const index rank = options.rank < 0 ? smaller_ : options.rank;
    wanted_ = {rank, options.tolerance, norm * norm, energy_floor<T>(), options.oversampling};
    out_.norm = norm;
  }

  result<T> run() {
    if (wanted_.rank == 0 || out_.norm == 0 || wanted_.tolerance >= out_.norm)
      factors_ = unit_vectors<T>(m_, n_, wanted_.tolerance >= out_.norm ? 0 : wanted_.rank);
    else
      find_factors();
    publish();
    find_error();
    if (out_.residuals.empty())
      find_residuals();
    return std::move(out_);
  }

private:
  void find_factors() {
    const double limit = resolvable_tolerance<T>(m_, n_) * out_.norm;
    require(wanted_.tolerance < 0 || wanted_.tolerance >= limit,
            "tolerance: below what this precision resolves, want at least " +
                std::to_string(limit));
    const bool tall = m_ >= n_;
    const adjoint_operator<T> adjoint(a_);
    const linear_operator<T> &along = tall ? a_ : adjoint;
    if (options_.power_iterations >= 0 && by_iteration())
      return;
    if (options_.power_iterations < 0 && !exact_is_cheaper() && by_krylov(along, tall))
      return;
    factors_ = exact_factors(along, wanted_);
    out_.route = method::exact;
    ++out_.passes;
    orient(tall);
  }

  bool below_floor() const {
    const double allowed = wanted_.tolerance * wanted_.tolerance;
    return wanted_.tolerance >= 0 && allowed < wanted_.floor * wanted_.norm_squared;
  }

  // A basis of about 1.4 rank + 100 columns is what Krylov needs.
  bool exact_is_cheaper() const {
    const bool by_rank = wanted_.tolerance < 0;
    const double basis = by_rank ? 1.4 * static_cast<double>(wanted_.rank) + 100 : 100;
    return below_floor() || basis > 0.45 * static_cast<double>(smaller_);
  }

  bool by_krylov(const linear_operator<T> &along, bool tall) {
    subspace<T> space;
    const bool enough = build_krylov(along, wanted_, options_.key, options_.workers, space);
    out_.passes += space.passes;
    if (!enough)
      return false;
    factors_ = extract(space, wanted_);
    out_.route = method::krylov;
    orient(tall);
    return true;
  }

  // Subspace iteration as Halko, Martinsson and Tropp (2011) have it; with a tolerance, the sample
  // doubles until the tail is within it.
  bool by_iteration() {
    const bool by_rank = wanted_.tolerance < 0;
    if (below_floor())
      return false;
    index size = std::min(smaller_, (by_rank ? wanted_.rank : 32) + wanted_.oversampling);
    for (;; size = std::min(smaller_, 2 * size)) {
      subspace<T> space;
      build_subspace(a_, size, options_.power_iterations, options_.key, options_.workers, space);
      out_.passes += space.passes;
      factors_ = extract(space, wanted_);
      if (by_rank || size == smaller_ || factors_.rank < size - wanted_.oversampling)
        break;
    }
    out_.route = method::subspace;
    orient(false);
    return true;
  }

  void orient(bool as_is) {
    if (!as_is)
      factors_.left.swap(factors_.right);
  }

  void publish() {
    out_.rank = factors_.rank;
    out_.u.swap(factors_.left);
    out_.v.swap(factors_.right);
    for (const double value : factors_.s)
      out_.s.push_back(static_cast<T>(value));
    for (const double value : factors_.residuals)
      out_.residuals.push_back(static_cast<T>(value));
    fix_signs(out_, m_, n_);
  }

  void find_error() {
    double left = factors_.tail_squared;
    if (left < 0) {
      left = wanted_.norm_squared;
      for (const double value : factors_.s)
        left -= value * value;
    }
    if (out_.norm == 0 || out_.rank == 0) {
      out_.error = out_.norm;
    } else if (left >= wanted_.floor * wanted_.norm_squared) {
      out_.error = std::sqrt(left);
    } else {
      out_.kind = error_kind::hold_out;
      out_.error = hold_out_error();
    }
  }

  matrix_view<T> u() { return packed(out_.u, m_, out_.rank); }
  matrix_view<T> v() { return packed(out_.v, n_, out_.rank); }

  // (A - U diag(s) V^T) w for Gaussian w has the squared error as its mean square.
  double hold_out_error() {
    columns<T> probes(n_, hold_out_vectors), images(m_, hold_out_vectors);
    columns<T> inner(out_.rank, hold_out_vectors);
    const matrix_view<T> w = probes.view(0, hold_out_vectors), y = images.view(0, hold_out_vectors);
    const matrix_view<T> c = inner.view(0, hold_out_vectors);
    rng::fill_normals<T>(options_.key, 0, hold_out_column, w, options_.workers);
    a_.apply(w, y);
    ++out_.passes;
    blas::gemm<T>(blas::transpose::yes, blas::transpose::no, T(1), v(), w, T(0), c);
    for (index j = 0; j < c.cols; ++j)
      for (index i = 0; i < c.rows; ++i)
        c(i, j) *= out_.s[as_size(i)];
    blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), u(), c, T(1), y);
    double sum = 0;
    for (index j = 0; j < y.cols; ++j)
      sum += squared_norm<T>(y.col(j));
    return std::sqrt(sum / static_cast<double>(hold_out_vectors));
  }

  void find_residuals() {
    const index k = out_.rank;
    out_.residuals.resize(as_size(k));
    if (k == 0)
      return;
    columns<T> images(m_, k), back(n_, k);
    const matrix_view<T> y = images.view(0, k), x = back.view(0, k);
    a_.apply(v(), y);
    a_.apply_adjoint(u(), x);
    out_.passes += 2;
    for (index j = 0; j < k; ++j) {
      const T s = out_.s[as_size(j)];
      for (index i = 0; i < m_; ++i)
        y(i, j) -= s * u()(i, j);
      for (index i = 0; i < n_; ++i)
        x(i, j) -= s * v()(i, j);
      const double sum = squared_norm<T>(y.col(j)) + squared_norm<T>(x.col(j));
      out_.residuals[as_size(j)] = static_cast<T>(std::sqrt(sum / 2));
    }
  }

  const linear_operator<T> &a_;
  const options &options_;
  index m_, n_, smaller_;
  target wanted_;
  factors<T> factors_;
  result<T> out_;
};

} // namespace

template <class T> double resolvable_tolerance(index rows, index cols) {
  return 8 * epsilon<T>() *
         std::sqrt(static_cast<double>(std::max<index>(1, std::min(rows, cols))));
}

template <class T> result<T> decompose(const linear_operator<T> &a, const options &options) {
  return decomposition<T>(a, options).run();
}

template <class T>
result<T> decompose(matrix_view<const T> a, const magnitude &size, const options &asked) {
  require(size.finite, "A: want finite values");
  options scaled = asked;
  if (asked.tolerance >= 0)
    scaled.tolerance = asked.tolerance * size.scale;
  const bool tall = a.rows >= a.cols;
  const dense_operator<T> tall_a(tall ? a : a.transposed(), size, asked.workers);
  result<T> out = decomposition<T>(tall_a, scaled).run();
  if (!tall) {
    out.u.swap(out.v);
    fix_signs(out, a.rows, a.cols);
  }
  const double back = 1 / size.scale;
  for (T &value : out.s)
    value = static_cast<T>(static_cast<double>(value) * back);
  for (T &value : out.residuals)
    value = static_cast<T>(static_cast<double>(value) * back);
  out.error *= back;
  out.norm = size.norm;
  return out;
}

#define EF_INSTANTIATE(T)                                                                          \
  template double resolvable_tolerance<T>(index, index);                                           \
  template result<T> decompose<T>(const linear_operator<T> &, const options &);                    \
  template result<T> decompose<T>(matrix_view<const T>, const magnitude &, const options &);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::svd
