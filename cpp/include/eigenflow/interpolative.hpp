// SPDX-License-Identifier: BSD-3-Clause
// A matrix by some of its own columns: QR with column pivoting, cut at a rank, and the
// interpolative decomposition A ~ A[:, J] C. By rank or by tolerance, with the error.
#pragma once

#include <eigenflow/svd.hpp>

namespace eigenflow::interpolative {

struct options {
  index rank = -1;                // -1: no limit
  double tolerance = -1;          // absolute, Frobenius; -1: none
  double relative_tolerance = -1; // of ||A||_F; -1: none. The larger of the two counts
  index oversampling = 10;        // rows of the sketch beyond rank
  std::uint64_t key = 0;
  int workers = 0;
};

// sketch: pivots from a few random combinations of the rows. exact: LAPACK's geqp3 of A itself.
enum class method { sketch, exact };

// A[:, pivots] ~ Q R
template <class T> struct pivoted_qr_result {
  index rank = 0;
  page_vector<T> q;          // rows x rank, column-major, orthonormal
  std::vector<T> r;          // rank x cols, row-major; upper trapezoidal, diagonal real, not
                             // negative and descending
  std::vector<index> pivots; // cols: the chosen columns, then the others
  double norm = 0;           // ||A||_F, an estimate when the operator does not know it
  double error = 0;          // ||A - Q Q^H A||_F
  svd::error_kind kind = svd::error_kind::tail_energy;
  int looks = 0; // how many estimates were taken before one was acted upon
  method route = method::exact;
  int passes = 0; // reads of A from end to end
};

// With a tolerance: the least rank, for these pivots, whose error is at most the tolerance. Throws
// argument_error when A holds NaN or infinity.
template <class T>
pivoted_qr_result<T> pivoted_qr(const svd::linear_operator<T> &a, const options &options);

// C (rank x cols, row-major) with A ~ A[:, J] C, J the chosen columns: the least squares solution,
// which has the error of the QR, and the identity at J. Chosen columns that depend on those before
// them to working precision are used for themselves only.
template <class T>
std::vector<T> coefficients(const pivoted_qr_result<T> &qr, index rows, index cols);

} // namespace eigenflow::interpolative
