// SPDX-License-Identifier: BSD-3-Clause
#include "blas_table.hpp"

#include <eigenflow/blas.hpp>
#include <eigenflow/errors.hpp>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace eigenflow::blas {
namespace {

struct tables {
  table<float> single;
  table<double> dbl;
#if EIGENFLOW_LINK_BLAS
  tables() { link(single, dbl); }
#endif
};

tables &all() {
  static tables instance;
  return instance;
}

template <class T> const table<T> &routines() {
  if constexpr (sizeof(T) == sizeof(float))
    return all().single;
  else
    return all().dbl;
}

// An empty slot would be a jump to address zero.
template <class Routine> Routine bound(Routine routine, const char *name) {
  if (routine == nullptr)
    throw std::runtime_error(std::string("BLAS/LAPACK routine ") + name +
                             " is not bound: call eigenflow::blas::bind, or build with "
                             "EIGENFLOW_BLAS=find");
  return routine;
}
#define EF_ROUTINE(name) bound(routines<T>().name, #name)

int fortran_int(index value) {
  if (value > std::numeric_limits<int>::max())
    throw std::overflow_error("a BLAS dimension of " + std::to_string(value) +
                              " does not fit the 32-bit integers of this BLAS");
  return static_cast<int>(value);
}

template <class T> int leading_dimension(matrix_view<T> a) {
  require(a.row_stride == 1 || a.rows <= 1, "matrix: BLAS wrappers want column-major views");
  return fortran_int(std::max<index>({1, a.rows, a.cols > 1 ? a.col_stride : 1}));
}

void check_info(int info, const char *routine) {
  if (info < 0)
    throw std::logic_error(std::string(routine) + ": argument " + std::to_string(-info) +
                           " refused");
  if (info > 0)
    throw convergence_error(std::string(routine) + " did not converge");
}

char letter(transpose op) { return static_cast<char>(op); }
char letter(side where) { return static_cast<char>(where); }
char letter(triangle uplo) { return static_cast<char>(uplo); }

template <class T> int workspace_size(T query) {
  // float cannot hold large sizes exactly: round up.
  return static_cast<int>(static_cast<double>(query) * (1.0 + 1e-6)) + 1;
}

} // namespace

std::span<const char *const> names() {
  static constexpr const char *list[] = {
#define X(name, signature) "s" #name, "d" #name,
      EF_BLAS_ROUTINES(X)
#undef X
  };
  return list;
}

bool bind(const char *name, void *routine) {
  const std::string_view wanted(name);
#define X(slot, signature)                                                                         \
  if (wanted == "s" #slot) {                                                                       \
    all().single.slot = reinterpret_cast<decltype(all().single.slot)>(routine);                    \
    return true;                                                                                   \
  }                                                                                                \
  if (wanted == "d" #slot) {                                                                       \
    all().dbl.slot = reinterpret_cast<decltype(all().dbl.slot)>(routine);                          \
    return true;                                                                                   \
  }
  EF_BLAS_ROUTINES(X)
#undef X
  return false;
}

bool available() {
#define X(slot, signature)                                                                         \
  if (all().single.slot == nullptr || all().dbl.slot == nullptr)                                   \
    return false;
  EF_BLAS_ROUTINES(X)
#undef X
  return true;
}

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
  EF_ROUTINE(gemm)(&ta, &tb, &m, &n, &k, &alpha, const_cast<T *>(a.data), &lda,
                   const_cast<T *>(b.data), &ldb, &beta, c.data, &ldc);
}

template <class T>
void syrk(triangle uplo, transpose op, T alpha, matrix_view<const T> a, T beta, matrix_view<T> c) {
  char tri = letter(uplo), ta = letter(op);
  int n = fortran_int(c.rows), k = fortran_int(op == transpose::no ? a.cols : a.rows);
  int lda = leading_dimension(a), ldc = leading_dimension(c);
  if (n == 0)
    return;
  EF_ROUTINE(syrk)(&tri, &ta, &n, &k, &alpha, const_cast<T *>(a.data), &lda, &beta, c.data, &ldc);
}

template <class T>
void trsm(side where, triangle uplo, transpose op, T alpha, matrix_view<const T> a,
          matrix_view<T> b) {
  char sd = letter(where), tri = letter(uplo), ta = letter(op), diagonal = 'N';
  int m = fortran_int(b.rows), n = fortran_int(b.cols);
  int lda = leading_dimension(a), ldb = leading_dimension(b);
  if (m == 0 || n == 0)
    return;
  EF_ROUTINE(trsm)(&sd, &tri, &ta, &diagonal, &m, &n, &alpha, const_cast<T *>(a.data), &lda, b.data,
                   &ldb);
}

template <class T> index potrf(triangle uplo, matrix_view<T> a) {
  char tri = letter(uplo);
  int n = fortran_int(a.rows), lda = leading_dimension(a), info = 0;
  if (n == 0)
    return 0;
  EF_ROUTINE(potrf)(&tri, &n, a.data, &lda, &info);
  check_info(std::min(info, 0), "potrf");
  return info;
}

template <class T> void geqrf(matrix_view<T> a, vector_view<T> tau) {
  int m = fortran_int(a.rows), n = fortran_int(a.cols), lda = leading_dimension(a), info = 0;
  int size = -1;
  T query = 0;
  const auto routine = EF_ROUTINE(geqrf);
  routine(&m, &n, a.data, &lda, tau.data, &query, &size, &info);
  std::vector<T> work(static_cast<std::size_t>(size = workspace_size(query)));
  routine(&m, &n, a.data, &lda, tau.data, work.data(), &size, &info);
  check_info(info, "geqrf");
}

template <class T> void orgqr(matrix_view<T> a, vector_view<T> tau) {
  int m = fortran_int(a.rows), n = fortran_int(a.cols), k = fortran_int(tau.size);
  int lda = leading_dimension(a), info = 0, size = -1;
  T query = 0;
  const auto routine = EF_ROUTINE(orgqr);
  routine(&m, &n, &k, a.data, &lda, tau.data, &query, &size, &info);
  std::vector<T> work(static_cast<std::size_t>(size = workspace_size(query)));
  routine(&m, &n, &k, a.data, &lda, tau.data, work.data(), &size, &info);
  check_info(info, "orgqr");
}

namespace {

template <class T>
void symmetric_eigen(char job, triangle uplo, matrix_view<T> a, vector_view<T> values) {
  char tri = letter(uplo);
  int n = fortran_int(a.rows), lda = leading_dimension(a), info = 0;
  int size = -1, integer_size = -1, integer_query = 0;
  T query = 0;
  const auto routine = EF_ROUTINE(syevd);
  routine(&job, &tri, &n, a.data, &lda, values.data, &query, &size, &integer_query, &integer_size,
          &info);
  std::vector<T> work(static_cast<std::size_t>(size = workspace_size(query)));
  std::vector<int> integer_work(static_cast<std::size_t>(integer_size = integer_query));
  routine(&job, &tri, &n, a.data, &lda, values.data, work.data(), &size, integer_work.data(),
          &integer_size, &info);
  check_info(info, "syevd");
}

} // namespace

template <class T> void syevd(triangle uplo, matrix_view<T> a, vector_view<T> values) {
  symmetric_eigen('V', uplo, a, values);
}

template <class T> void syevd_values(triangle uplo, matrix_view<T> a, vector_view<T> values) {
  symmetric_eigen('N', uplo, a, values);
}

template <class T>
void gesdd(matrix_view<T> a, matrix_view<T> u, vector_view<T> s, matrix_view<T> vt) {
  char job = 'S';
  int m = fortran_int(a.rows), n = fortran_int(a.cols), lda = leading_dimension(a);
  int ldu = leading_dimension(u), ldvt = leading_dimension(vt), info = 0, size = -1;
  T query = 0;
  std::vector<int> integer_work(static_cast<std::size_t>(8 * std::max(1, std::min(m, n))));
  const auto routine = EF_ROUTINE(gesdd);
  routine(&job, &m, &n, a.data, &lda, s.data, u.data, &ldu, vt.data, &ldvt, &query, &size,
          integer_work.data(), &info);
  std::vector<T> work(static_cast<std::size_t>(size = workspace_size(query)));
  routine(&job, &m, &n, a.data, &lda, s.data, u.data, &ldu, vt.data, &ldvt, work.data(), &size,
          integer_work.data(), &info);
  check_info(info, "gesdd");
}

#define EF_INSTANTIATE(T)                                                                          \
  template void gemm<T>(transpose, transpose, T, matrix_view<const T>, matrix_view<const T>, T,    \
                        matrix_view<T>);                                                           \
  template void syrk<T>(triangle, transpose, T, matrix_view<const T>, T, matrix_view<T>);          \
  template void trsm<T>(side, triangle, transpose, T, matrix_view<const T>, matrix_view<T>);       \
  template index potrf<T>(triangle, matrix_view<T>);                                               \
  template void geqrf<T>(matrix_view<T>, vector_view<T>);                                          \
  template void orgqr<T>(matrix_view<T>, vector_view<T>);                                          \
  template void syevd<T>(triangle, matrix_view<T>, vector_view<T>);                                \
  template void syevd_values<T>(triangle, matrix_view<T>, vector_view<T>);                         \
  template void gesdd<T>(matrix_view<T>, matrix_view<T>, vector_view<T>, matrix_view<T>);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)

} // namespace eigenflow::blas
