// SPDX-License-Identifier: BSD-3-Clause
// The array form: a covariance P is kept as a root with P = root root', and updates multiply and
// triangularise roots, so that no difference of covariances is formed. Its digits are relative to
// the root: half as many are lost to a wide range of variances.
#pragma once

#include "small_matrix.hpp"

namespace eigenflow::lds {

using small::buffer;

// Lower triangular root of a semidefinite matrix.
buffer semidefinite_root(index n, const buffer &cov);

// Root of (I - k z') P (I - k z')' + noise k k'.
void joseph_root(index n, const double *gain, const double *z, double noise, buffer &root,
                 buffer &stacked);

// Root of A P A' + noise noise'.
void predict_root(index n, const double *A, const buffer &noise_root, buffer &root,
                  buffer &stacked);

// root root'.
void square_of_root(index n, const buffer &root, buffer &cov);

// Rows i of `a` (n x m, m >= n) become lower triangular by reflections from the right: a a' stays.
// The first n columns are written to `root` (n x n).
void lower_triangle(index n, index m, buffer &a, buffer &root);

} // namespace eigenflow::lds
