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

// v = (G^H q)'s orthonormal factor, r its triangle, in double precision.
template <class T>
void probe_basis(std::uint64_t key, index first_col, matrix_view<const T> q, int workers,
                 matrix_view<wide_of<T>> v, matrix_view<wide_of<T>> r) {
  columns<T> held(v.rows, v.cols);
  gaussian_product<T>(key, first_col, q, workers, held.view(0, v.cols));
  copy(held.view(0, v.cols), v);
  orthonormalise<wide_of<T>>(v, r);
}

template <class T> void orthonormalise_only(matrix_view<T> q) {
  columns<wide_of<T>> factor(q.cols, q.cols);
  orthonormalise<T>(q, factor.view(0, q.cols));
}

// left (first `rank` columns of u) in T.
template <class T>
void turn(matrix_view<const T> basis, const std::vector<wide_of<T>> &u, index rank,
          std::vector<T> &out) {
  columns<T> rounded(basis.cols, rank);
  copy(col_major<const wide_of<T>>(u.data(), basis.cols, rank), rounded.view(0, rank));
  multiply<T>(basis, rounded.view(0, rank), T(0), packed(out, basis.rows, rank));
}

} // namespace

template <class T>
factors<T> one_pass_factors(const linear_operator<T> &a, const target &wanted, std::uint64_t key,
                            int workers, double &norm_squared, double &error_squared) {
  using W = wide_of<T>;
  const index m = a.rows(), n = a.cols(), smaller = std::min(m, n);
  const index extra = std::min(wanted.oversampling, smaller);
  const index l = std::min(2 * wanted.rank + extra, smaller), s = 2 * l + 1;
  columns<T> right(n, l), range(m, l), adjoint(n, l + s + hold_out_vectors);
  const matrix_view<T> y = range.view(0, l), x = adjoint.view(0, l);
  fill_gaussian<T>(key, 0, omega_column, right.view(0, l), workers);
  a.sketch(right.view(0, l), key, left_column, workers, y, adjoint.view(0, adjoint.capacity()));
  const matrix_view<T> images = adjoint.view(l + s, adjoint.capacity());
  norm_squared = 0;
  for (index j = 0; j < hold_out_vectors; ++j)
    norm_squared += squared_norm(images.col(j)) / static_cast<double>(hold_out_vectors);
  require_finite(images);
  orthonormalise_only(y);
  orthonormalise_only(x);
  // Z^H = Psi^H (A^H Phi)
  columns<T> core(s, s);
  gaussian_product<T>(key, psi_column, adjoint.view(l, l + s), workers, core.view(0, s));
  columns<W> z(s, s), v1(s, l), v2(s, l), r1(l, l), r2(l, l), part(s, l), inner(l, l);
  copy(core.view(0, s), z.view(0, s));
  probe_basis<T>(key, left_column + l, y, workers, v1.view(0, l), r1.view(0, l));
  probe_basis<T>(key, psi_column, x, workers, v2.view(0, l), r2.view(0, l));
  const matrix_view<W> w = inner.view(0, l);
  blas::gemm<W>(blas::transpose::adjoint, blas::transpose::no, W(1), z.view(0, s), v2.view(0, l),
                W(0), part.view(0, l));
  blas::gemm<W>(blas::transpose::adjoint, blas::transpose::no, W(1), v1.view(0, l), part.view(0, l),
                W(0), w);
  blas::trsm<W>(blas::side::left, blas::triangle::upper, blas::transpose::no, W(1), r1.view(0, l),
                w);
  blas::trsm<W>(blas::side::right, blas::triangle::upper, blas::transpose::adjoint, W(1),
                r2.view(0, l), w);
  const small_svd<W> small = decompose_small(w);
  factors<T> out;
  out.rank = wanted.rank;
  out.s.assign(small.s.begin(), small.s.begin() + out.rank);
  turn<T>(y, small.u, out.rank, out.left);
  std::vector<W> v(as_size(l * out.rank));
  for (index j = 0; j < out.rank; ++j)
    for (index i = 0; i < l; ++i)
      v[as_size(j * l + i)] = conjugate(small.vt[as_size(i * l + j)]);
  turn<T>(x, v, out.rank, out.right);
  // images -= V diag(s) (theta^H U)^H
  columns<T> seen(hold_out_vectors, out.rank), weights(out.rank, hold_out_vectors);
  gaussian_product<T>(key, left_column + l + s, packed(out.left, m, out.rank), workers,
                      seen.view(0, out.rank));
  const matrix_view<T> c = weights.view(0, hold_out_vectors), t = seen.view(0, out.rank);
  for (index j = 0; j < c.cols; ++j)
    for (index i = 0; i < c.rows; ++i)
      c(i, j) = conjugate(t(j, i)) * static_cast<real_of<T>>(out.s[as_size(i)]);
  blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), packed(out.right, n, out.rank), c,
                T(1), images);
  error_squared = 0;
  for (index j = 0; j < hold_out_vectors; ++j)
    error_squared += squared_norm(images.col(j)) / static_cast<double>(hold_out_vectors);
  return out;
}

#define EF_INSTANTIATE(T)                                                                          \
  template factors<T> one_pass_factors<T>(const linear_operator<T> &, const target &,              \
                                          std::uint64_t, int, double &, double &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
