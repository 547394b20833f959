// SPDX-License-Identifier: BSD-3-Clause
// Decompositions of the small square factors, in double precision.
#include "svd_detail.hpp"

namespace eigenflow::svd {
namespace {

// B^H B in double carries errors of eps s_1^2: 1e-8 of the least s_k^2 then, which is less than the
// rounding of single precision, also in the angles between the left vectors B v / s.
constexpr double visible_in_single = 1e-7;

// False where a value is too small beside the first. Half of the time of LAPACK's decomposition.
template <class W> bool decompose_by_gram(matrix_view<W> b, int workers, small_svd<W> &out) {
  const index k = b.cols;
  columns<W> held(k, k);
  const matrix_view<W> g = held.view(0, k);
  require_finite(b);
  blas::syrk<W>(blas::triangle::upper, blas::transpose::adjoint, 1, b, 0, g);
  hermitian_spectrum<W> spectrum(g);
  const std::vector<double> &squares = spectrum.values();
  if (k == 0 || !(squares.back() > visible_in_single * squares.front()))
    return false;
  const matrix_view<const W> v = spectrum.leading_vectors(k, workers);
  const matrix_view<W> u = packed(out.u, k, k), vt = packed(out.vt, k, k);
  multiply<W>(b, v, W(0), u);
  out.size = k;
  out.s.resize(as_size(k));
  for (index j = 0; j < k; ++j) {
    out.s[as_size(j)] = std::sqrt(squares[as_size(j)]);
    scale(u.col(j), 1 / out.s[as_size(j)]);
    for (index i = 0; i < k; ++i)
      vt(j, i) = conjugate(v(i, j));
  }
  return true;
}

} // namespace

template <class W> small_svd<W> decompose_small(matrix_view<W> b) {
  small_svd<W> out;
  out.size = b.cols;
  out.s.resize(as_size(b.cols));
  const matrix_view<W> u = packed(out.u, b.rows, b.cols), vt = packed(out.vt, b.cols, b.cols);
  require_finite(b);
  blas::gesdd<W>(b, u, {out.s.data(), b.cols, 1}, vt);
  return out;
}

template <class T>
small_svd<wide_of<T>> decompose_small_as(matrix_view<wide_of<T>> b, int workers) {
  small_svd<wide_of<T>> out;
  if (sizeof(real_of<T>) == sizeof(float) && decompose_by_gram<wide_of<T>>(b, workers, out))
    return out;
  return decompose_small(b);
}

template small_svd<double> decompose_small<double>(matrix_view<double>);
template small_svd<std::complex<double>>
    decompose_small<std::complex<double>>(matrix_view<std::complex<double>>);
#define EF_INSTANTIATE(T)                                                                          \
  template small_svd<wide_of<T>> decompose_small_as<T>(matrix_view<wide_of<T>>, int);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
