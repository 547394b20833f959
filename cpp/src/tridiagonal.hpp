// SPDX-License-Identifier: BSD-3-Clause
// Leading eigenvalues and eigenvectors of a symmetric tridiagonal matrix. The same for any number
// of workers.
#pragma once

#include <eigenflow/views.hpp>

#include <vector>

namespace eigenflow::svd::tridiagonal {

struct matrix {
  const std::vector<double> &diagonal, &beside; // n and n - 1 numbers
  double eps;                                   // what is wanted, relative to its largest row sum
};

// The first `count` values, descending, by bisection.
std::vector<double> leading_values(const matrix &t, index count, int workers);

// z (n x count): orthonormal vectors of the first z.cols values. False, with z undefined, when they
// are too dependent, of values that agree to nearly all digits, or a residual is not small.
bool twisted_vectors(const matrix &t, const std::vector<double> &values, matrix_view<double> z,
                     int workers);

// The same of any matrix to full precision, by divide and conquer; costs what all vectors do.
void all_vectors(const matrix &t, matrix_view<double> z);

} // namespace eigenflow::svd::tridiagonal
