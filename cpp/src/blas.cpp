// SPDX-License-Identifier: BSD-3-Clause
// Products and triangular solves.
#include "blas_call.hpp"

#include <eigenflow/call_log.hpp>

namespace eigenflow::blas {

template <class T>
void gemm(transpose op_a, transpose op_b, T alpha, matrix_view<const T> a, matrix_view<const T> b,
          T beta, matrix_view<T> c) {
  char ta = letter(op_a), tb = letter(op_b);
  const index inner = op_a == transpose::no ? a.cols : a.rows;
  require(inner == (op_b == transpose::no ? b.rows : b.cols), "gemm: inner dimensions differ");
  int m = fortran_int(c.rows), n = fortran_int(c.cols), k = fortran_int(inner);
  int lda = leading_dimension(a), ldb = leading_dimension(b), ldc = leading_dimension(c);
  if (m == 0 || n == 0)
    return;
  const logged call("gemm", sizeof(T), op_a != transpose::no, m, k, n);
  EF_ROUTINE(gemm)(&ta, &tb, &m, &n, &k, &alpha, const_cast<T *>(a.data), &lda,
                   const_cast<T *>(b.data), &ldb, &beta, c.data, &ldc);
}

template <class T>
void syrk(triangle uplo, transpose op, real_of<T> alpha, matrix_view<const T> a, real_of<T> beta,
          matrix_view<T> c) {
  char tri = letter(uplo), ta = letter(op);
  int n = fortran_int(c.rows), k = fortran_int(op == transpose::no ? a.cols : a.rows);
  int lda = leading_dimension(a), ldc = leading_dimension(c);
  if (n == 0)
    return;
  T *data = const_cast<T *>(a.data);
  const logged call("syrk", sizeof(T), op != transpose::no, n, k, n);
  if constexpr (is_complex<T>)
    EF_ROUTINE(herk)(&tri, &ta, &n, &k, &alpha, data, &lda, &beta, c.data, &ldc);
  else
    EF_ROUTINE(syrk)(&tri, &ta, &n, &k, &alpha, data, &lda, &beta, c.data, &ldc);
}

template <class T>
void trsm(side where, triangle uplo, transpose op, T alpha, matrix_view<const T> a,
          matrix_view<T> b) {
  char sd = letter(where), tri = letter(uplo), ta = letter(op), diagonal = 'N';
  int m = fortran_int(b.rows), n = fortran_int(b.cols);
  int lda = leading_dimension(a), ldb = leading_dimension(b);
  if (m == 0 || n == 0)
    return;
  const logged call("trsm", sizeof(T), false, m, 0, n);
  EF_ROUTINE(trsm)(&sd, &tri, &ta, &diagonal, &m, &n, &alpha, const_cast<T *>(a.data), &lda, b.data,
                   &ldb);
}

#define EF_INSTANTIATE(T)                                                                          \
  template void gemm<T>(transpose, transpose, T, matrix_view<const T>, matrix_view<const T>, T,    \
                        matrix_view<T>);                                                           \
  template void syrk<T>(triangle, transpose, real_of<T>, matrix_view<const T>, real_of<T>,         \
                        matrix_view<T>);                                                           \
  template void trsm<T>(side, triangle, transpose, T, matrix_view<const T>, matrix_view<T>);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)
EF_INSTANTIATE(std::complex<float>)
EF_INSTANTIATE(std::complex<double>)

} // namespace eigenflow::blas
