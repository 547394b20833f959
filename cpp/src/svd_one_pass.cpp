// SPDX-License-Identifier: BSD-3-Clause
// Three sketches and a probe from one sweep. With Y = A Omega = Q R and X = A^H Upsilon = P R' as
// bases of range and co-range, and the core Z = Phi^H A Psi,
//   A ~ Q W P^H,   W = (Phi^H Q)^+ Z ((Psi^H P)^+)^H,
// and for Gaussian theta the mean of ||A^H theta - (Q W P^H)^H theta||^2 is the squared error. Phi
// and theta are as long as A is tall: they are drawn again where they are needed.
#include "svd_detail.hpp"

namespace eigenflow::svd {
namespace {

// Columns of the random matrices, far from each other.
constexpr index omega_column = 0, psi_column = index{1} << 43, left_column = index{1} << 44;

template <class T> void orthonormalise_only(matrix_view<T> q) {
  columns<wide_of<T>> factor(q.cols, q.cols);
  orthonormalise<T>(q, factor.view(0, q.cols));
}

// basis u, with the first `rank` columns of u.
template <class T>
void turn(matrix_view<const T> basis, const std::vector<wide_of<T>> &u, index rank,
          page_vector<T> &out) {
  columns<T> rounded(basis.cols, rank);
  copy(col_major<const wide_of<T>>(u.data(), basis.cols, rank), rounded.view(0, rank));
  multiply<T>(basis, rounded.view(0, rank), T(0), packed(out, basis.rows, rank));
}

template <class T> class one_pass {
  using W = wide_of<T>;

public:
  one_pass(const linear_operator<T> &a, const target &wanted, std::uint64_t key, int workers)
      : a_(a), rank_(wanted.rank), key_(key), workers_(workers), size_(width(a, wanted)),
        range_(a.rows(), size_), others_(a.cols(), size_ + core() + hold_out_vectors) {}

  factors<T> run(double &norm_squared, double &error_squared) {
    columns<T> omega(a_.cols(), size_);
    fill_gaussian<T>(key_, 0, omega_column, omega.view(0, size_), workers_);
    a_.sketch(omega.view(0, size_), key_, left_column, workers_, q(),
              others_.view(0, others_.capacity()));
    require_finite(images());
    norm_squared = image_energy();
    orthonormalise_only(q());
    orthonormalise_only(p());
    find_triplets(decompose_small(core_matrix()));
    take_out_triplets();
    error_squared = image_energy();
    return std::move(out_);
  }

private:
  static index width(const linear_operator<T> &a, const target &wanted) {
    const index smaller = std::min(a.rows(), a.cols());
    return std::min(2 * wanted.rank + std::min(wanted.oversampling, smaller), smaller);
  }
  index core() const { return 2 * size_ + 1; }
  matrix_view<T> q() { return range_.view(0, size_); }
  matrix_view<T> p() { return others_.view(0, size_); }
  matrix_view<T> images() { return others_.view(size_ + core(), others_.capacity()); }

  double image_energy() {
    double sum = 0;
    for (index j = 0; j < hold_out_vectors; ++j)
      sum += squared_norm(images().col(j));
    return sum / static_cast<double>(hold_out_vectors);
  }

  // The orthonormal factor of G^H basis in v, and the triangle in r.
  void probe(index first_col, matrix_view<const T> basis, matrix_view<W> v, matrix_view<W> r) {
    columns<T> held(v.rows, v.cols);
    gaussian_product<T>(key_, first_col, basis, workers_, held.view(0, v.cols));
    copy(held.view(0, v.cols), v);
    orthonormalise<W>(v, r);
  }

  // W = R1^-1 Q1^H Z Q2 R2^-H with Phi^H Q = Q1 R1 and Psi^H P = Q2 R2.
  matrix_view<W> core_matrix() {
    const index l = size_, s = core();
    columns<T> sketch(s, s);
    gaussian_product<T>(key_, psi_column, others_.view(l, l + s), workers_, sketch.view(0, s));
    columns<W> adjoint(s, s), left(s, l), right(s, l), part(s, l), r1(l, l), r2(l, l);
    copy(sketch.view(0, s), adjoint.view(0, s)); // Z^H = Psi^H (A^H Phi)
    probe(left_column + l, q(), left.view(0, l), r1.view(0, l));
    probe(psi_column, p(), right.view(0, l), r2.view(0, l));
    constexpr auto no = blas::transpose::no, yes = blas::transpose::adjoint;
    inner_ = columns<W>(l, l);
    const matrix_view<W> w = inner_.view(0, l);
    blas::gemm<W>(yes, no, W(1), adjoint.view(0, s), right.view(0, l), W(0), part.view(0, l));
    blas::gemm<W>(yes, no, W(1), left.view(0, l), part.view(0, l), W(0), w);
    blas::trsm<W>(blas::side::left, blas::triangle::upper, no, W(1), r1.view(0, l), w);
    blas::trsm<W>(blas::side::right, blas::triangle::upper, yes, W(1), r2.view(0, l), w);
    return w;
  }

  void find_triplets(const small_svd<W> &small) {
    out_.rank = rank_;
    out_.s.assign(small.s.begin(), small.s.begin() + rank_);
    turn<T>(q(), small.u, rank_, out_.left);
    std::vector<W> v(as_size(size_ * rank_));
    for (index j = 0; j < rank_; ++j)
      for (index i = 0; i < size_; ++i)
        v[as_size(j * size_ + i)] = conjugate(small.vt[as_size(i * size_ + j)]);
    turn<T>(p(), v, rank_, out_.right);
  }

  // images -= V diag(s) (theta^H U)^H
  void take_out_triplets() {
    columns<T> seen(hold_out_vectors, rank_), weights(rank_, hold_out_vectors);
    const matrix_view<T> c = weights.view(0, hold_out_vectors), t = seen.view(0, rank_);
    gaussian_product<T>(key_, left_column + size_ + core(), packed(out_.left, a_.rows(), rank_),
                        workers_, t);
    for (index j = 0; j < c.cols; ++j)
      for (index i = 0; i < c.rows; ++i)
        c(i, j) = conjugate(t(j, i)) * static_cast<real_of<T>>(out_.s[as_size(i)]);
    blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1),
                  packed(out_.right, a_.cols(), rank_), c, T(1), images());
  }

  const linear_operator<T> &a_;
  index rank_;
  std::uint64_t key_;
  int workers_;
  index size_;        // columns of the range and of the co-range
  columns<T> range_;  // Y, then Q
  columns<T> others_; // X, then P; A^H Phi; A^H theta
  columns<W> inner_;
  factors<T> out_;
};

} // namespace

template <class T>
factors<T> one_pass_factors(const linear_operator<T> &a, const target &wanted, std::uint64_t key,
                            int workers, double &norm_squared, double &error_squared) {
  return one_pass<T>(a, wanted, key, workers).run(norm_squared, error_squared);
}

#define EF_INSTANTIATE(T)                                                                          \
  template factors<T> one_pass_factors<T>(const linear_operator<T> &, const target &,              \
                                          std::uint64_t, int, double &, double &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
