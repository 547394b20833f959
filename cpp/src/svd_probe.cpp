// SPDX-License-Identifier: BSD-3-Clause
// The energy of what a basis leaves out, from Gaussian vectors that it is not made of: for a
// residual R and such w, E ||R w||^2 = ||R||_F^2.
#include "svd_detail.hpp"

namespace eigenflow::svd {
namespace {

// Far from the columns that the basis draws.
constexpr index residual_column = index{1} << 40, probe_column = index{1} << 41;

} // namespace

template <class T>
norm_probe<T>::norm_probe(const linear_operator<T> &a, std::uint64_t key, int workers)
    : vectors_(a.cols(), hold_out_vectors), images_(a.rows(), hold_out_vectors) {
  const matrix_view<T> w = vectors_.view(0, hold_out_vectors);
  fill_gaussian<T>(key, 0, probe_column, w, workers);
  a.apply(w, images_.view(0, hold_out_vectors));
}

template <class T> void norm_probe<T>::remove(matrix_view<const T> v, matrix_view<const T> y) {
  columns<T> inner(v.cols, hold_out_vectors);
  const matrix_view<T> c = inner.view(0, hold_out_vectors);
  blas::gemm<T>(blas::transpose::adjoint, blas::transpose::no, T(1), v,
                vectors_.view(0, hold_out_vectors), T(0), c);
  blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), y, c, T(1),
                images_.view(0, hold_out_vectors));
}

template <class T> void norm_probe<T>::remove_range(matrix_view<const T> q) {
  columns<T> inner(q.cols, hold_out_vectors);
  project_out<T>(q, images_.view(0, hold_out_vectors), inner.view(0, hold_out_vectors), 1);
}

template <class T> double norm_probe<T>::energy() {
  double sum = 0;
  for (index j = 0; j < hold_out_vectors; ++j)
    sum += squared_norm(images_.view(j, j + 1).col(0));
  return sum / static_cast<double>(hold_out_vectors);
}

template <class T>
double residual_energy(const linear_operator<T> &a, matrix_view<const T> u, const double *s,
                       matrix_view<const T> v, std::uint64_t key, int workers) {
  columns<T> probes(a.cols(), hold_out_vectors), images(a.rows(), hold_out_vectors);
  columns<T> inner(u.cols, hold_out_vectors);
  const matrix_view<T> w = probes.view(0, hold_out_vectors), y = images.view(0, hold_out_vectors);
  const matrix_view<T> c = inner.view(0, hold_out_vectors);
  fill_gaussian<T>(key, 0, residual_column, w, workers);
  a.apply(w, y);
  blas::gemm<T>(blas::transpose::adjoint, blas::transpose::no, T(1), v, w, T(0), c);
  for (index j = 0; j < c.cols; ++j)
    for (index i = 0; i < c.rows; ++i)
      c(i, j) *= static_cast<real_of<T>>(s[i]);
  blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), u, c, T(1), y);
  double sum = 0;
  for (index j = 0; j < y.cols; ++j)
    sum += squared_norm(y.col(j));
  return sum_over(a.ranks(), sum) / static_cast<double>(hold_out_vectors);
}

#define EF_INSTANTIATE(T)                                                                          \
  template class norm_probe<T>;                                                                    \
  template double residual_energy<T>(const linear_operator<T> &, matrix_view<const T>,             \
                                     const double *, matrix_view<const T>, std::uint64_t, int);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
