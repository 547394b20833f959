// SPDX-License-Identifier: BSD-3-Clause
// Leading eigenpairs of a symmetric or Hermitian matrix, largest modulus first, by rank or by
// tolerance, with the error of the matrix that they make. The matrix is an operator, as in svd.hpp.
#pragma once

#include <eigenflow/svd.hpp>

namespace eigenflow::eigh {

struct options {
  index rank = -1;                // -1: no limit
  double tolerance = -1;          // absolute, Frobenius; -1: none
  double relative_tolerance = -1; // of ||A||_F; -1: none. The larger of the two counts
  index oversampling = 10;        // columns beyond rank
  std::uint64_t key = 0;
  int workers = 0;
  bool positive = false; // A is positive semidefinite: what is returned is, and lies below A
  bool one_pass = false; // read A once; positive matrices, by rank only
};

enum class method { krylov, nystrom, exact };

// A ~ X diag(values) X^H.
template <class T> struct result {
  index rank = 0;
  std::vector<real_of<T>> values; // descending modulus
  page_vector<T> vectors;         // rows x rank, column-major
  // ||A x - value x||: an eigenvalue of A lies within this distance. NaN for one pass.
  std::vector<real_of<T>> residuals;
  double norm = 0;  // ||A||_F, an estimate when the operator does not know it
  double error = 0; // ||A - X diag(values) X^H||_F
  svd::error_kind kind = svd::error_kind::tail_energy;
  int looks = 0; // how many estimates were taken before one was acted upon
  method route = method::exact;
  int passes = 0; // reads of A from end to end
};

// With a tolerance: the least rank (up to options.rank) whose error is at most the tolerance.
// Throws argument_error when A is not square, when it is not Hermitian or not positive as far as
// the products that are needed anyway show, or when it holds NaN or infinity.
template <class T> result<T> decompose(const svd::linear_operator<T> &a, const options &options);
template <class T>
result<T> decompose(matrix_view<const T> a, const svd::magnitude &size, const options &options);

} // namespace eigenflow::eigh
