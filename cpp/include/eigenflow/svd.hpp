// SPDX-License-Identifier: BSD-3-Clause
// Leading singular triplets of a real or complex matrix, by rank or by tolerance, with an error
// that can be trusted. The matrix is an operator: memory, rows from a file, products.
#pragma once

#include <eigenflow/linear_operator.hpp>
#include <eigenflow/pages.hpp>
#include <eigenflow/views.hpp>

#include <cstdint>
#include <vector>

namespace eigenflow::svd {

struct options {
  index rank = -1;                // -1: no limit
  double tolerance = -1;          // absolute; -1: none
  double relative_tolerance = -1; // of ||A||; -1: none. The larger of the two counts
  index oversampling = 10;        // columns beyond rank
  int power_iterations = -1; // -1: block Krylov; otherwise this many steps of subspace iteration
  std::uint64_t key = 0;
  int workers = 0;
  bool spectral = false; // the norm of the tolerances and of the error: else Frobenius
  bool one_pass = false; // read A once, for streams that cannot be read again; by rank only
};

// How the error was found. tail_energy: from the energy that the triplets leave, ||A||^2 - sum s^2
// (or the sum of the discarded s^2). hold_out: from products of the residual with Gaussian vectors
// that the basis was not made of, where the norm is unknown or that difference would be lost in
// rounding. leave_one_out: the same from the sketch's own vectors, each against the other ones
// (Epperly and Tropp 2022), for a sketch without power steps. In the spectral norm: next_value, the
// first discarded singular value where all are known, or power_bound, an upper bound from power
// steps on Gaussian vectors that fails with a probability of 10^-bound_vectors for each look.
enum class error_kind { tail_energy, hold_out, leave_one_out, next_value, power_bound };

enum class method { krylov, subspace, exact, one_pass };

// A decreasing spectrum and its vectors: A ~ U diag(s) V^H.
template <class T> struct result {
  index rank = 0;
  page_vector<T> u;  // rows x rank, column-major
  page_vector<T> vh; // rank x cols, row-major
  std::vector<real_of<T>> s;
  // For each triplet sqrt((||A v - s u||^2 + ||A^H u - s v||^2) / 2): a singular value of A lies
  // within this distance of s. NaN for one pass.
  std::vector<real_of<T>> residuals;
  double norm = 0;  // ||A||, an estimate when the operator does not know it
  double error = 0; // ||A - U diag(s) V^H||
  error_kind kind = error_kind::tail_energy;
  int looks = 0; // how many estimates or bounds were taken before one was acted upon
  method route = method::exact;
  int passes = 0; // reads of A from end to end: a product, or two that the operator does at once
};

// How many Gaussian vectors a hold-out error uses, and a bound on a spectral norm.
inline constexpr index hold_out_vectors = 32, bound_vectors = 10;

// The smallest tolerance / ||A||_F that a rank can be chosen for, with tail energies or without.
template <class T> double resolvable_tolerance(index rows, index cols);

// With a tolerance: the least rank (up to options.rank) whose error is at most the tolerance.
// Throws argument_error when A holds NaN or infinity.
template <class T> result<T> decompose(const linear_operator<T> &a, const options &options);
template <class T>
result<T> decompose(matrix_view<const T> a, const magnitude &size, const options &options);

// A whose rows are spread over ranks: each gives its block, of any number of rows, zero included,
// and gets s, V^H and its own rows of U. Every rank must give the same options, and the first
// decides nothing that the others do not: results agree with those of one process to rounding.
// Messages: one sum of n x 32 numbers for each sweep over A, small matrices besides. Where A has
// fewer rows than columns, all of it goes to every rank.
template <class T>
result<T> decompose(matrix_view<const T> block, const options &options, const rank_group &ranks);
template <class T, communicator C = self_comm>
result<T> decompose(matrix_view<const T> block, const options &options, const C &comm = {}) {
  const group_of<C> ranks(comm);
  return decompose<T>(block, options, static_cast<const rank_group &>(ranks));
}

// Orthonormal columns (rows x size) that span the dominant column space: `power_iterations` steps
// of subspace iteration from a Gaussian start, orthonormalised at each half step.
template <class T>
void range_finder(const linear_operator<T> &a, int power_iterations, std::uint64_t key, int workers,
                  matrix_view<T> q);

// q = Q R in place: Q has orthonormal columns and r (column-major) holds R, whatever the condition
// of q, zero columns included. CholeskyQR twice with Gram matrices in double precision; where the
// columns are too dependent for that, Householder's QR. rows >= cols.
template <class T>
void orthonormalise(matrix_view<T> q, matrix_view<wide_of<T>> r, int workers = 0);

} // namespace eigenflow::svd
