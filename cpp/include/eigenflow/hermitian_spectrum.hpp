// SPDX-License-Identifier: BSD-3-Clause
// All eigenvalues of a Hermitian matrix, and then as many of the leading eigenvectors as are
// wanted: the reduction to tridiagonal form is done once for both.
#pragma once

#include <eigenflow/scalars.hpp>
#include <eigenflow/views.hpp>

#include <vector>

namespace eigenflow::svd {

// W is double, std::complex<double>, or float, which reduces the matrix and turns the vectors back
// in half of the time, with its rounding; the tridiagonal matrix is solved in double. Only the
// upper triangle is read. Costs 4/3 n^3 operations, those of the tridiagonal matrix are of order
// n^2.
template <class W> class hermitian_spectrum {
public:
  // n x n numbers, column-major and finite.
  hermitian_spectrum(std::vector<W> matrix, index n);

  index size() const { return n_; }
  const std::vector<double> &values() const { return values_; } // they descend

  // Orthonormal eigenvectors of the first `count` values, column-major; they are kept, and fewer
  // are their first columns. Costs 2 n^2 count operations. The same for any number of workers.
  matrix_view<const W> leading_vectors(index count, int workers = 1);

private:
  index n_;
  std::vector<W> reflectors_, tau_;
  std::vector<double> diagonal_, beside_; // of the tridiagonal matrix
  std::vector<double> values_;
  std::vector<W> vectors_; // as many as were asked for
};

} // namespace eigenflow::svd
