// SPDX-License-Identifier: BSD-3-Clause
// Leading singular triplets of a real matrix, by rank or by Frobenius tolerance, with an error that
// can be trusted. The matrix is an operator: dense memory here, anything with products elsewhere.
#pragma once

#include <eigenflow/views.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace eigenflow::svd {

// A real matrix that is known by its products. All blocks are packed column-major views.
template <class T> class linear_operator {
public:
  virtual ~linear_operator() = default;
  virtual index rows() const = 0;
  virtual index cols() const = 0;
  virtual void apply(matrix_view<const T> x, matrix_view<T> y) const = 0;         // y = A x
  virtual void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const = 0; // y = A^T x
  // y = A x, w = A^T y: one sweep over A where the operator can do it.
  virtual void apply_both(matrix_view<const T> x, matrix_view<T> y, matrix_view<T> w) const {
    apply(x, y);
    apply_adjoint(y, w);
  }
  // Every entry, column-major. The default applies A to the identity.
  virtual void to_dense(matrix_view<T> out) const;
  virtual double frobenius_norm() const = 0;
};

// The norm and a power of two that brings a matrix of extreme scale back to the middle of the
// range, where squares neither overflow nor vanish; 1 for ordinary matrices.
struct magnitude {
  double norm = 0;  // Frobenius; infinite when it exceeds the largest double
  double scale = 1; // apply to the matrix before working on it
  double scaled_norm = 0;
  bool finite = true; // every entry
};

// One pass over the matrix, two when its scale is extreme. The same bytes for any workers.
template <class T> magnitude measure(matrix_view<const T> a, int workers = 0);

// Memory of any strides is used in place; C and Fortran order are fast. With a scale other than 1
// it is copied panel by panel at each product. Products with few columns run on our own kernels.
template <class T> class dense_operator final : public linear_operator<T> {
public:
  explicit dense_operator(matrix_view<const T> a, const magnitude &size, int workers = 0);
  index rows() const override { return a_.rows; }
  index cols() const override { return a_.cols; }
  void apply(matrix_view<const T> x, matrix_view<T> y) const override;
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override;
  void apply_both(matrix_view<const T> x, matrix_view<T> y, matrix_view<T> w) const override;
  void to_dense(matrix_view<T> out) const override;
  double frobenius_norm() const override { return size_.scaled_norm; }

private:
  matrix_view<const T> a_;
  magnitude size_;
  int workers_;
};

struct options {
  index rank = -1;           // -1: no limit
  double tolerance = -1;     // absolute, Frobenius; -1: none
  index oversampling = 10;   // columns beyond rank
  int power_iterations = -1; // -1: block Krylov; otherwise this many steps of subspace iteration
  std::uint64_t key = 0;
  int workers = 0;
};

// How the error was found: from the energy that the triplets leave, ||A||^2 - sum s^2 (or the sum
// of the discarded s^2), or from the residual's products with fresh Gaussian vectors, where that
// difference would be lost in rounding.
enum class error_kind { tail_energy, hold_out };

enum class method { krylov, subspace, exact };

// A decreasing spectrum and its vectors: A ~ U diag(s) V^T, columns packed (column-major).
template <class T> struct result {
  index rank = 0;
  std::vector<T> u; // rows x rank
  std::vector<T> v; // cols x rank
  std::vector<T> s;
  // For each triplet sqrt((||A v - s u||^2 + ||A^T u - s v||^2) / 2): a singular value of A lies
  // within this distance of s.
  std::vector<T> residuals;
  double norm = 0;  // ||A||_F
  double error = 0; // ||A - U diag(s) V^T||_F
  error_kind kind = error_kind::tail_energy;
  method route = method::exact;
  int passes = 0; // products with A or A^T, each over the whole matrix
};

// How many Gaussian vectors a hold-out error uses.
inline constexpr index hold_out_vectors = 32;

// The smallest tolerance / ||A||_F that a rank can be chosen for, with tail energies or without.
template <class T> double resolvable_tolerance(index rows, index cols);

// With a tolerance: the least rank (up to options.rank) whose error is at most the tolerance.
// Throws argument_error when A holds NaN or infinity.
template <class T> result<T> decompose(const linear_operator<T> &a, const options &options);
template <class T>
result<T> decompose(matrix_view<const T> a, const magnitude &size, const options &options);

// Orthonormal columns (rows x size) that span the dominant column space: `power_iterations` steps
// of subspace iteration from a Gaussian start, orthonormalised at each half step.
template <class T>
void range_finder(const linear_operator<T> &a, int power_iterations, std::uint64_t key, int workers,
                  matrix_view<T> q);

// q = Q R in place: Q has orthonormal columns and r (column-major) holds R, whatever the condition
// of q, zero columns included. CholeskyQR twice with Gram matrices in double precision; where the
// columns are too dependent for that, Householder's QR. rows >= cols.
template <class T> void orthonormalise(matrix_view<T> q, matrix_view<double> r);

} // namespace eigenflow::svd
