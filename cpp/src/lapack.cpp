// SPDX-License-Identifier: BSD-3-Clause
// Factorisations and eigenproblems.
#include "blas_call.hpp"

#include <eigenflow/call_log.hpp>

#include <vector>

namespace eigenflow::blas {
namespace {

template <class T> int workspace_size(T query) {
  // float cannot hold large sizes exactly: round up.
  return static_cast<int>(static_cast<double>(std::real(query)) * (1.0 + 1e-6)) + 1;
}

} // namespace

template <class T> index potrf(triangle uplo, matrix_view<T> a) {
  char tri = letter(uplo);
  int n = fortran_int(a.rows), lda = leading_dimension(a), info = 0;
  if (n == 0)
    return 0;
  const logged call("potrf", sizeof(T), false, n, 0, n);
  EF_ROUTINE(potrf)(&tri, &n, a.data, &lda, &info);
  check_info(std::min(info, 0), "potrf");
  return info;
}

template <class T> void geqrf(matrix_view<T> a, vector_view<T> tau) {
  int m = fortran_int(a.rows), n = fortran_int(a.cols), lda = leading_dimension(a), info = 0;
  int size = -1;
  T query = 0;
  const logged step("geqrf", sizeof(T), false, m, 0, n);
  const auto routine = EF_ROUTINE(geqrf);
  routine(&m, &n, a.data, &lda, packed(tau), &query, &size, &info);
  std::vector<T> work(static_cast<std::size_t>(size = workspace_size(query)));
  routine(&m, &n, a.data, &lda, packed(tau), work.data(), &size, &info);
  check_info(info, "geqrf");
}

namespace {

template <class T> auto orthogonal_factor() {
  if constexpr (is_complex<T>)
    return EF_ROUTINE(ungqr);
  else
    return EF_ROUTINE(orgqr);
}

template <class T>
void symmetric_eigen(char job, triangle uplo, matrix_view<T> a, vector_view<real_of<T>> values) {
  char tri = letter(uplo);
  int n = fortran_int(a.rows), lda = leading_dimension(a), info = 0;
  std::vector<T> work(1);
  std::vector<real_of<T>> real_work(1);
  std::vector<int> integer_work(1);
  int size = -1, real_size = -1, integer_size = -1;
  const logged step(job == 'V' ? "syevd" : "syevd, values", sizeof(T), false, n, 0, n);
  const auto call = [&] {
    if constexpr (is_complex<T>)
      EF_ROUTINE(heevd)(&job, &tri, &n, a.data, &lda, packed(values), work.data(), &size,
                        real_work.data(), &real_size, integer_work.data(), &integer_size, &info);
    else
      EF_ROUTINE(syevd)(&job, &tri, &n, a.data, &lda, packed(values), work.data(), &size,
                        integer_work.data(), &integer_size, &info);
  };
  call(); // asks for the workspace
  work.resize(static_cast<std::size_t>(size = workspace_size(work[0])));
  real_work.resize(static_cast<std::size_t>(real_size = workspace_size(real_work[0])));
  integer_work.resize(static_cast<std::size_t>(integer_size = integer_work[0]));
  call();
  check_info(info, "syevd");
}

} // namespace

template <class T> void orgqr(matrix_view<T> a, vector_view<T> tau) {
  int m = fortran_int(a.rows), n = fortran_int(a.cols), k = fortran_int(tau.size);
  int lda = leading_dimension(a), info = 0, size = -1;
  T query = 0;
  const logged step("orgqr", sizeof(T), false, m, 0, n);
  const auto routine = orthogonal_factor<T>();
  routine(&m, &n, &k, a.data, &lda, packed(tau), &query, &size, &info);
  std::vector<T> work(static_cast<std::size_t>(size = workspace_size(query)));
  routine(&m, &n, &k, a.data, &lda, packed(tau), work.data(), &size, &info);
  check_info(info, "orgqr");
}

template <class T> void geqp3(matrix_view<T> a, std::span<index> pivots, vector_view<T> tau) {
  int m = fortran_int(a.rows), n = fortran_int(a.cols), lda = leading_dimension(a), info = 0;
  int size = -1;
  std::vector<int> order(pivots.size(), 0); // 0: free to move
  std::vector<T> work(1);
  const logged step("geqp3", sizeof(T), false, m, 0, n);
  std::vector<real_of<T>> norms(is_complex<T> ? 2 * pivots.size() : 0);
  const auto call = [&] {
    if constexpr (is_complex<T>)
      EF_ROUTINE(geqp3)(&m, &n, a.data, &lda, order.data(), packed(tau), work.data(), &size,
                        norms.data(), &info);
    else
      EF_ROUTINE(geqp3)(&m, &n, a.data, &lda, order.data(), packed(tau), work.data(), &size, &info);
  };
  if (n == 0)
    return;
  call();
  work.resize(static_cast<std::size_t>(size = workspace_size(work[0])));
  call();
  check_info(info, "geqp3");
  std::transform(order.begin(), order.end(), pivots.begin(), [](int j) { return index{j} - 1; });
}

template <class T> void syevd(triangle uplo, matrix_view<T> a, vector_view<real_of<T>> values) {
  symmetric_eigen('V', uplo, a, values);
}

template <class T>
void syevd_values(triangle uplo, matrix_view<T> a, vector_view<real_of<T>> values) {
  symmetric_eigen('N', uplo, a, values);
}

namespace {

template <class T> auto reduction_to_tridiagonal() {
  if constexpr (is_complex<T>)
    return EF_ROUTINE(hetrd);
  else
    return EF_ROUTINE(sytrd);
}

} // namespace

template <class T>
void sytrd(triangle uplo, matrix_view<T> a, vector_view<real_of<T>> diagonal,
           vector_view<real_of<T>> beside, vector_view<T> tau) {
  char tri = letter(uplo);
  int n = fortran_int(a.rows), lda = leading_dimension(a), info = 0, size = -1;
  T query = 0;
  const logged step("sytrd", sizeof(T), false, n, 0, n);
  const auto routine = reduction_to_tridiagonal<T>();
  routine(&tri, &n, a.data, &lda, packed(diagonal), packed(beside), packed(tau), &query, &size,
          &info);
  std::vector<T> work(static_cast<std::size_t>(size = workspace_size(query)));
  routine(&tri, &n, a.data, &lda, packed(diagonal), packed(beside), packed(tau), work.data(), &size,
          &info);
  check_info(info, "sytrd");
}

template <class T> void sterf(vector_view<T> diagonal, vector_view<T> beside) {
  int n = fortran_int(diagonal.size), info = 0;
  const logged step("sterf", sizeof(T), false, n, 0, n);
  EF_ROUTINE(sterf)(&n, packed(diagonal), packed(beside), &info);
  check_info(info, "sterf");
}

template <class T>
void stedc(vector_view<T> diagonal, vector_view<T> beside, matrix_view<T> vectors) {
  char job = 'I';
  int n = fortran_int(diagonal.size), ldz = leading_dimension(vectors), info = 0;
  std::vector<T> work(1);
  std::vector<int> integer_work(1);
  int size = -1, integer_size = -1;
  const logged step("stedc", sizeof(T), false, n, 0, n);
  const auto call = [&] {
    EF_ROUTINE(stedc)(&job, &n, packed(diagonal), packed(beside), vectors.data, &ldz, work.data(),
                      &size, integer_work.data(), &integer_size, &info);
  };
  call(); // asks for the workspace
  work.resize(static_cast<std::size_t>(size = workspace_size(work[0])));
  integer_work.resize(static_cast<std::size_t>(integer_size = integer_work[0]));
  call();
  check_info(info, "stedc");
}

template <class T>
void gesdd(matrix_view<T> a, matrix_view<T> u, vector_view<real_of<T>> s, matrix_view<T> vt) {
  char job = 'S';
  int m = fortran_int(a.rows), n = fortran_int(a.cols), lda = leading_dimension(a);
  int ldu = leading_dimension(u), ldvt = leading_dimension(vt), info = 0, size = -1;
  const std::size_t least = static_cast<std::size_t>(std::max(1, std::min(m, n)));
  const std::size_t most = static_cast<std::size_t>(std::max({1, m, n}));
  std::vector<int> integer_work(8 * least);
  const logged step("gesdd", sizeof(T), false, m, 0, n);
  // LAPACK's documentation: max(5 k^2 + 5 k, 2 max(m, n) k + 2 k^2 + k) reals.
  std::vector<real_of<T>> real_work(
      is_complex<T> ? least * std::max(5 * least + 5, 2 * most + 2 * least + 1) : 0);
  std::vector<T> work(1);
  const auto call = [&] {
    if constexpr (is_complex<T>)
      EF_ROUTINE(gesdd)(&job, &m, &n, a.data, &lda, packed(s), u.data, &ldu, vt.data, &ldvt,
                        work.data(), &size, real_work.data(), integer_work.data(), &info);
    else
      EF_ROUTINE(gesdd)(&job, &m, &n, a.data, &lda, packed(s), u.data, &ldu, vt.data, &ldvt,
                        work.data(), &size, integer_work.data(), &info);
  };
  call();
  work.resize(static_cast<std::size_t>(size = workspace_size(work[0])));
  call();
  check_info(info, "gesdd");
}

#define EF_INSTANTIATE(T)                                                                          \
  template index potrf<T>(triangle, matrix_view<T>);                                               \
  template void geqrf<T>(matrix_view<T>, vector_view<T>);                                          \
  template void orgqr<T>(matrix_view<T>, vector_view<T>);                                          \
  template void geqp3<T>(matrix_view<T>, std::span<index>, vector_view<T>);                        \
  template void syevd<T>(triangle, matrix_view<T>, vector_view<real_of<T>>);                       \
  template void syevd_values<T>(triangle, matrix_view<T>, vector_view<real_of<T>>);                \
  template void sytrd<T>(triangle, matrix_view<T>, vector_view<real_of<T>>,                        \
                         vector_view<real_of<T>>, vector_view<T>);                                 \
  template void gesdd<T>(matrix_view<T>, matrix_view<T>, vector_view<real_of<T>>, matrix_view<T>);
EF_INSTANTIATE(float)
EF_INSTANTIATE(double)
EF_INSTANTIATE(std::complex<float>)
EF_INSTANTIATE(std::complex<double>)

template void sterf<float>(vector_view<float>, vector_view<float>);
template void sterf<double>(vector_view<double>, vector_view<double>);
template void stedc<float>(vector_view<float>, vector_view<float>, matrix_view<float>);
template void stedc<double>(vector_view<double>, vector_view<double>, matrix_view<double>);

} // namespace eigenflow::blas
