// SPDX-License-Identifier: BSD-3-Clause
// BLAS and LAPACK through a table of Fortran entry points, so that the library links none itself.
// From Python the table is filled with SciPy's routines; a C++ build fills it with the BLAS that
// CMake found, or the program fills it. Sizes are 64-bit here and checked before they become
// Fortran integers. Never call these inside parallel_for: a BLAS has its own threads.
#pragma once

#include <eigenflow/scalars.hpp>
#include <eigenflow/views.hpp>

#include <span>

namespace eigenflow::blas {

// adjoint conjugates too; for real matrices it is the same as yes.
enum class transpose : char { no = 'N', yes = 'T', adjoint = 'C' };
enum class side : char { left = 'L', right = 'R' };
enum class triangle : char { upper = 'U', lower = 'L' };

// True when every routine of the table is there.
bool available();

// Fills one slot, for example ("dgemm", pointer). False when the table has no such slot.
bool bind(const char *name, void *routine);

// The names of all slots, for whoever fills the table.
std::span<const char *const> names();

// All matrices are column-major (row_stride 1); the wrappers refuse others.
// C = alpha op(A) op(B) + beta C
template <class T>
void gemm(transpose op_a, transpose op_b, T alpha, matrix_view<const T> a, matrix_view<const T> b,
          T beta, matrix_view<T> c);

// Lower or upper triangle of C = alpha op(A) op(A)^H + beta C (herk for complex matrices);
// op = adjoint gives A^H A.
template <class T>
void syrk(triangle uplo, transpose op, real_of<T> alpha, matrix_view<const T> a, real_of<T> beta,
          matrix_view<T> c);

// B = alpha op(A)^-1 B (left) or alpha B op(A)^-1 (right), A triangular.
template <class T>
void trsm(side where, triangle uplo, transpose op, T alpha, matrix_view<const T> a,
          matrix_view<T> b);

// Cholesky factor in place; 0, or the order of the first minor that is not positive.
template <class T> index potrf(triangle uplo, matrix_view<T> a);

// Householder QR in place (geqrf), then the first k = tau.size columns of Q in place (orgqr,
// ungqr).
template <class T> void geqrf(matrix_view<T> a, vector_view<T> tau);
template <class T> void orgqr(matrix_view<T> a, vector_view<T> tau);

// QR with column pivoting in place (geqp3): column j of A P is column pivots[j] of A, and the
// diagonal of R descends in modulus. min(m, n) reflectors.
template <class T> void geqp3(matrix_view<T> a, std::span<index> pivots, vector_view<T> tau);

// Eigenvalues in ascending order and eigenvectors of a symmetric or Hermitian matrix, in place
// (syevd, heevd).
template <class T> void syevd(triangle uplo, matrix_view<T> a, vector_view<real_of<T>> values);

// Eigenvalues only, in ascending order; the matrix is overwritten.
template <class T>
void syevd_values(triangle uplo, matrix_view<T> a, vector_view<real_of<T>> values);

// A = Q T Q^H in place, T real and tridiagonal with n numbers on the diagonal and n - 1 beside it;
// Q stays in `a` and `tau` as reflectors (sytrd, hetrd).
template <class T>
void sytrd(triangle uplo, matrix_view<T> a, vector_view<real_of<T>> diagonal,
           vector_view<real_of<T>> beside, vector_view<T> tau);

// Eigenvalues of a tridiagonal matrix in ascending order, in `diagonal`; `beside` is overwritten.
template <class R> void sterf(vector_view<R> diagonal, vector_view<R> beside);

// The same with all eigenvectors, by divide and conquer.
template <class R>
void stedc(vector_view<R> diagonal, vector_view<R> beside, matrix_view<R> vectors);

// How to change the number of threads that BLAS and LAPACK use, which only who bound them knows;
// null, the default: it stays as it is.
void set_thread_hook(void (*hook)(int count));

// That many threads while it lives; before the first one, and after the last, one.
class threads {
public:
  explicit threads(int count);
  ~threads();
  threads(const threads &) = delete;
  threads &operator=(const threads &) = delete;

private:
  static inline thread_local int current_ = 1;
  void (*hook_)(int); // null where nothing changes
  int before_;
};

// Thin SVD by divide and conquer (gesdd); a is overwritten. u: m x k, s: k, vt: k x n, k = min(m,
// n); A = U diag(s) VT.
template <class T>
void gesdd(matrix_view<T> a, matrix_view<T> u, vector_view<real_of<T>> s, matrix_view<T> vt);

} // namespace eigenflow::blas
