// SPDX-License-Identifier: BSD-3-Clause
// From a basis V and its image Y = A V to singular triplets. The Gram matrix Y^T Y gives the right
// vectors with an error of eps (s_1 / s_k)^2; orthonormalising Y X and decomposing the small factor
// takes that error out again, so the results are as good as those of an SVD of Y as long as the
// Gram matrix still sees s_k. Below that, the QR factorisation of Y is used.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>

namespace eigenflow::svd {
namespace {

// Eigenvalues of a Gram matrix in double carry errors of eps s_1^2: it sees s_k above 3e-6 s_1.
constexpr double visible = 1e-11;
constexpr index small_side = 48;

struct small_svd {
  index size = 0;
  std::vector<double> u, s, vt;
};

small_svd decompose_small(matrix_view<double> b) {
  small_svd out;
  out.size = b.cols;
  out.s.resize(as_size(b.cols));
  const matrix_view<double> u = packed(out.u, b.rows, b.cols), vt = packed(out.vt, b.cols, b.cols);
  require_finite(b);
  blas::gesdd<double>(b, u, {out.s.data(), b.cols, 1}, vt);
  return out;
}

// Tail sums of all squares, for the exact way: no cancellation, unlike the norm less the head.
index rank_from_tails(const std::vector<double> &squares, const target &wanted, double *tail) {
  index rank = static_cast<index>(squares.size());
  double sum = 0;
  const auto may_drop = [&](double with_next) {
    return rank > wanted.rank ||
           (wanted.tolerance >= 0 && with_next <= wanted.tolerance * wanted.tolerance);
  };
  while (rank > 0 && may_drop(sum + squares[as_size(rank - 1)]))
    sum += squares[as_size(--rank)];
  *tail = sum;
  return rank;
}

template <class T> class extraction {
public:
  extraction(subspace<T> &space, const target &wanted) : space_(space), wanted_(wanted) {}

  factors<T> run(bool trust_gram) {
    if (!trust_gram || !by_gram())
      by_qr();
    return std::move(out_);
  }

private:
  matrix_view<T> y() { return space_.y.view(0, space_.size); }

  index choose(const std::vector<double> &squares) {
    if (space_.identity)
      return rank_from_tails(squares, wanted_, &out_.tail_squared);
    const index size = static_cast<index>(squares.size());
    if (wanted_.tolerance < 0)
      return std::min(size, wanted_.rank);
    const index rank = rank_for(squares.data(), size, wanted_);
    return rank < 0 ? std::min(size, wanted_.rank) : rank;
  }

  bool by_gram() {
    const index d = space_.size;
    columns<double> held(d, d);
    const matrix_view<double> g = held.view(0, d);
    gram<T>(y(), g);
    require_finite(g);
    std::vector<double> ascending(as_size(d)), squares(as_size(d));
    blas::syevd<double>(blas::triangle::upper, g, {ascending.data(), d, 1});
    for (index j = 0; j < d; ++j)
      squares[as_size(j)] = std::max(0.0, ascending[as_size(d - 1 - j)]);
    const index rank = choose(squares);
    if (rank == 0)
      return true;
    if (!(squares[as_size(rank - 1)] > visible * squares[0]))
      return false;
    out_.rank = rank;
    std::vector<double> chosen;
    const matrix_view<double> x = packed(chosen, d, rank);
    for (index j = 0; j < rank; ++j)
      std::copy_n(&g(0, d - 1 - j), d, &x(0, j));
    refine(x);
    return true;
  }

  // left = Y X and the small factor of its QR; their SVD turns both sides.
  void refine(matrix_view<double> x) {
    const index d = x.rows, k = x.cols;
    columns<T> rounded(d, k);
    copy(x, rounded.view(0, k));
    const matrix_view<T> left = packed(out_.left, space_.y.view(0, 1).rows, k);
    multiply<T>(y(), rounded.view(0, k), T(0), left);
    const std::vector<double> lengths = normalise(left);
    columns<double> held(k, k);
    const matrix_view<double> r = held.view(0, k);
    orthonormalise<T>(left, r);
    if (!is_triplets(r, lengths)) {
      for (index j = 0; j < k; ++j)
        for (index i = 0; i < k; ++i)
          r(i, j) *= lengths[as_size(j)];
      turn(left, x, decompose_small(r));
    }
    finish_right(x);
  }

  static std::vector<double> normalise(matrix_view<T> z) {
    std::vector<double> lengths(as_size(z.cols), 1.0);
    for (index j = 0; j < z.cols; ++j) {
      double sum = 0;
      for (index i = 0; i < z.rows; ++i)
        sum += static_cast<double>(z(i, j)) * static_cast<double>(z(i, j));
      if (!(sum > 0))
        continue;
      lengths[as_size(j)] = std::sqrt(sum);
      const T inverse = static_cast<T>(1 / lengths[as_size(j)]);
      for (index i = 0; i < z.rows; ++i)
        z(i, j) *= inverse;
    }
    return lengths;
  }

  // True, with the values kept, when the columns are orthogonal to working precision already.
  bool is_triplets(matrix_view<double> r, const std::vector<double> &lengths) {
    out_.s.clear();
    for (index j = 0; j < r.cols; ++j) {
      for (index i = 0; i < j; ++i)
        if (!(std::abs(r(i, j)) * lengths[as_size(j)] <= 16 * epsilon<T>() * lengths[as_size(i)]))
          return false;
      out_.s.push_back(r(j, j) * lengths[as_size(j)]);
      if (!(out_.s.back() > 0) || (j > 0 && out_.s[as_size(j)] > out_.s[as_size(j - 1)]))
        return false;
    }
    return true;
  }

  // left = left u, x = x v, keeping out_.rank columns.
  void turn(matrix_view<T> left, matrix_view<double> x, const small_svd &small) {
    const index k = small.size, rank = out_.rank;
    out_.s.assign(small.s.begin(), small.s.begin() + rank);
    std::vector<T> u(as_size(k * rank)), turned;
    std::copy_n(small.u.begin(), k * rank, u.begin());
    multiply<T>(left, col_major<const T>(u.data(), k, rank), T(0), packed(turned, left.rows, rank));
    out_.left.swap(turned);
    std::vector<double> held(as_size(x.rows * rank));
    const matrix_view<const double> vt = col_major(small.vt.data(), k, k).block(0, 0, rank, k);
    blas::gemm<double>(blas::transpose::no, blas::transpose::yes, 1.0, x, vt, 0.0,
                       col_major(held.data(), x.rows, rank));
    std::copy(held.begin(), held.end(), x.data);
  }

  void by_qr() {
    const index d = space_.size;
    columns<double> held(d, d), right(d, d);
    const matrix_view<double> r = held.view(0, d), x = right.view(0, d);
    orthonormalise<T>(y(), r);
    const small_svd small = decompose_small(r);
    std::vector<double> squares(small.s);
    for (double &value : squares)
      value *= value;
    out_.rank = choose(squares);
    for (index j = 0; j < d; ++j)
      for (index i = 0; i < d; ++i)
        x(i, j) = i == j ? 1.0 : 0.0;
    turn(y(), x, small);
    finish_right(right.view(0, out_.rank));
  }

  void finish_right(matrix_view<double> x) {
    const index k = out_.rank;
    keep_residuals(x);
    if (space_.identity) {
      copy(x, packed(out_.right, x.rows, k));
      return;
    }
    columns<T> rounded(x.rows, k);
    copy(x, rounded.view(0, k));
    const matrix_view<T> v = space_.v.view(0, space_.size);
    multiply<T>(v, rounded.view(0, k), T(0), packed(out_.right, v.rows, k));
  }

  // A^T u - s v = V_next next x_last / s: known without another product while the rounding of
  // A^T Y, which is eps s_1^2 and comes divided by s, is far below s. That rounding is added.
  void keep_residuals(matrix_view<double> x) {
    const index n = space_.next_rows;
    if (n == 0 || x.cols == 0)
      return;
    const double first = out_.s.front(), last = out_.s.back();
    if (!(last * last > 500 * epsilon<T>() * first * first))
      return;
    columns<double> held(n, x.cols);
    const matrix_view<double> rest = held.view(0, x.cols);
    multiply<double>(col_major<const double>(space_.next.data(), n, n),
                     x.block(x.rows - n, 0, n, x.cols), 0.0, rest);
    for (index j = 0; j < x.cols; ++j) {
      const double rounding = epsilon<T>() * first * first / out_.s[as_size(j)];
      double sum = rounding * rounding;
      for (index i = 0; i < n; ++i)
        sum += rest(i, j) * rest(i, j) / (out_.s[as_size(j)] * out_.s[as_size(j)]);
      out_.residuals.push_back(std::sqrt(sum / 2));
    }
  }

  subspace<T> &space_;
  const target &wanted_;
  factors<T> out_;
};

} // namespace

index rank_for(const double *squares, index count, const target &wanted) {
  const double allowed = wanted.tolerance * wanted.tolerance;
  double left = wanted.norm_squared;
  for (index rank = 0; rank <= std::min(count, wanted.rank); ++rank) {
    if (left <= allowed)
      return rank;
    if (rank < count)
      left -= squares[rank];
  }
  return count >= wanted.rank ? wanted.rank : -1;
}

template <class T> factors<T> extract(subspace<T> &space, const target &wanted) {
  return extraction<T>(space, wanted).run(true);
}

template <class T> factors<T> exact_factors(const linear_operator<T> &a, const target &wanted) {
  subspace<T> whole;
  whole.identity = true;
  whole.size = a.cols();
  whole.y = columns<T>(a.rows(), a.cols());
  a.to_dense(whole.y.view(0, whole.size));
  const double ratio = wanted.tolerance * wanted.tolerance / wanted.norm_squared;
  const bool resolved = wanted.tolerance < 0 || ratio > 1e-10;
  return extraction<T>(whole, wanted).run(resolved && whole.size > small_side);
}

#define EF_INSTANTIATE(T)                                                                          \
  template factors<T> extract<T>(subspace<T> &, const target &);                                   \
  template factors<T> exact_factors<T>(const linear_operator<T> &, const target &);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::svd
