// SPDX-License-Identifier: BSD-3-Clause
// Eigenvalues of a Hermitian matrix, all or the leading ones, and then as many of the leading
// eigenvectors as are wanted: the reduction to tridiagonal form is done once for both.
#pragma once

#include <eigenflow/scalars.hpp>
#include <eigenflow/views.hpp>

#include <memory>
#include <vector>

namespace eigenflow::svd {

// W is double or std::complex<double>. Everything is the same for any number of workers, and one
// number of BLAS threads.
template <class W> class hermitian_spectrum {
public:
  // Of n x n finite numbers, the upper triangle of which is copied. The reduction costs 4/3 n^3
  // operations; in single precision it takes half of the time, as turning the vectors back does,
  // and brings in that rounding. The tridiagonal matrix is solved in double.
  explicit hermitian_spectrum(matrix_view<const W> a, bool in_single = false);
  ~hermitian_spectrum();
  hermitian_spectrum(hermitian_spectrum &&) noexcept;

  index size() const { return n_; }
  double trace() const;

  // All of them; they descend. About 40 n^2 operations, one after the other.
  const std::vector<double> &values();
  // At least `count` of them, each on its own: about 100 n count operations. A later call may
  // replace them.
  const std::vector<double> &leading_values(index count, int workers = 1);

  // Orthonormal eigenvectors of the first `count` values, column-major; they are kept, and fewer
  // are their first columns. Costs 2 n^2 count operations.
  matrix_view<const W> leading_vectors(index count, int workers = 1);

private:
  struct reduction;
  template <class S> struct reduction_in;

  index n_;
  std::unique_ptr<reduction> reduced_; // null where n is 0
  std::vector<double> values_;         // as many as were asked for
  std::vector<W> vectors_;             // as many as were asked for
};

} // namespace eigenflow::svd
