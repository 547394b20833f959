// SPDX-License-Identifier: BSD-3-Clause
// Subspace iteration: the classical randomized range finder (Halko, Martinsson and Tropp 2011).
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>

namespace eigenflow::svd {
namespace {

// Orthonormal basis of the range after `steps` steps of subspace iteration; r is the factor of the
// last orthonormalisation. Costs 2 steps + 1 products.
template <class T>
void iterate(const linear_operator<T> &a, int steps, std::uint64_t key, int workers,
             matrix_view<T> q, matrix_view<wide_of<T>> r) {
  columns<T> other(a.cols(), q.cols);
  const matrix_view<T> x = other.view(0, q.cols);
  fill_gaussian<T>(key, 0, 0, x, workers);
  a.apply(x, q);
  orthonormalise<T>(q, r, workers);
  for (int step = 0; step < steps; ++step) {
    a.apply_adjoint(q, x);
    orthonormalise<T>(x, r, workers);
    a.apply(x, q);
    orthonormalise<T>(q, r, workers);
  }
}

// For Y = A G = Q R with l columns the l sketches that leave one column out have the mean squared
// error (1/l) sum_j 1 / ||row j of R^-1||^2 (Epperly and Tropp 2022): an estimate for l - 1
// columns. A column that the others contain to rounding contributes what R says of it, nearly
// nothing.
template <class W> double leave_one_out(matrix_view<W> r) {
  const index l = r.cols;
  if (l == 0)
    return 0;
  double largest = 0;
  for (index j = 0; j < l; ++j)
    largest = std::max(largest, std::abs(r(j, j)));
  const double least = std::numeric_limits<double>::epsilon() * largest;
  if (!(largest > 0))
    return 0;
  columns<W> held(l, 2 * l);
  const matrix_view<W> factor = held.view(0, l), inverse = held.view(l, 2 * l);
  copy(r, factor);
  for (index j = 0; j < l; ++j) {
    if (std::abs(factor(j, j)) < least)
      factor(j, j) = W(least);
    for (index i = 0; i < l; ++i)
      inverse(i, j) = i == j ? W(1) : W(0);
  }
  blas::trsm<W>(blas::side::left, blas::triangle::upper, blas::transpose::no, W(1), factor,
                inverse);
  double sum = 0;
  for (index j = 0; j < l; ++j)
    sum += 1 / squared_norm(inverse.row(j));
  return sum / static_cast<double>(l);
}

} // namespace

template <class T>
double build_subspace(const linear_operator<T> &a, index size, int power_iterations,
                      std::uint64_t key, int workers, subspace<T> &space) {
  space.size = size;
  space.v = columns<T>(a.rows(), size);
  space.y = columns<T>(a.cols(), size);
  space.next_rows = 0;
  columns<wide_of<T>> factor(size, size);
  const matrix_view<wide_of<T>> r = factor.view(0, size);
  iterate(a, power_iterations, key, workers, space.v.view(0, size), r);
  a.apply_adjoint(space.v.view(0, size), space.y.view(0, size));
  space.passes += 2 * power_iterations + 2;
  return power_iterations == 0 ? leave_one_out(r) : -1;
}

template <class T>
void range_finder(const linear_operator<T> &a, int power_iterations, std::uint64_t key, int workers,
                  matrix_view<T> q) {
  require(q.cols <= std::min(a.rows(), a.cols()), "size: want at most the smaller side of A");
  columns<wide_of<T>> factor(q.cols, q.cols);
  if (q.cols > 0)
    iterate(a, power_iterations, key, workers, q, factor.view(0, q.cols));
}

#define EF_INSTANTIATE(T)                                                                          \
  template double build_subspace<T>(const linear_operator<T> &, index, int, std::uint64_t, int,    \
                                    subspace<T> &);                                                \
  template void range_finder<T>(const linear_operator<T> &, int, std::uint64_t, int,               \
                                matrix_view<T>);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
