// SPDX-License-Identifier: BSD-3-Clause
// Products of a matrix with a few columns, our own: a BLAS that was made for square products runs
// them at a third of its speed, and its threads wait for each other by spinning.
#pragma once

#include <eigenflow/views.hpp>

namespace eigenflow::svd {

// y = A x + beta y. A row of A is read before its y is written, so that y may lie in the first
// columns of A.
template <class T>
void few_columns(matrix_view<const T> a, double scale, matrix_view<const T> x, T beta,
                 matrix_view<T> y, int workers);
// w = A^T x + beta w.
template <class T>
void few_columns_adjoint(matrix_view<const T> a, double scale, matrix_view<const T> x, T beta,
                         matrix_view<T> w, int workers);
// y = A x and w = A^T y + beta w in one sweep over A; an empty y is not kept.
template <class T>
void few_columns_both(matrix_view<const T> a, double scale, matrix_view<const T> x,
                      matrix_view<T> y, T beta, matrix_view<T> w, int workers);

// g = A^T A, full, in double precision whatever T; `quick` sums 192 rows at a time in T.
template <class T>
void own_gram(matrix_view<const T> a, double scale, matrix_view<double> g, int workers,
              bool quick = false);

} // namespace eigenflow::svd
