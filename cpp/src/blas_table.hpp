// SPDX-License-Identifier: BSD-3-Clause
// The table itself, one row a routine: the Fortran name without its precision letter, and its
// signature over T and its real type R. Real and complex types share most rows; where they do not,
// the complex routine has the Hermitian name or more workspace. Private: blas_call.hpp is the only
// reader, blas_table.cpp and blas_link.cpp are the writers.
#pragma once

#include <atomic>
#include <complex>

#define EF_BLAS_COMMON(X)                                                                          \
  X(gemm, (char *, char *, int *, int *, int *, T *, T *, int *, T *, int *, T *, T *, int *))     \
  X(trsm, (char *, char *, char *, char *, int *, int *, T *, T *, int *, T *, int *))             \
  X(potrf, (char *, int *, T *, int *, int *))                                                     \
  X(geqrf, (int *, int *, T *, int *, T *, T *, int *, int *))

#define EF_BLAS_REAL(X)                                                                            \
  EF_BLAS_COMMON(X)                                                                                \
  X(syrk, (char *, char *, int *, int *, T *, T *, int *, T *, T *, int *))                        \
  X(geqp3, (int *, int *, T *, int *, int *, T *, T *, int *, int *))                              \
  X(orgqr, (int *, int *, int *, T *, int *, T *, T *, int *, int *))                              \
  X(sytrd, (char *, int *, T *, int *, T *, T *, T *, T *, int *, int *))                          \
  X(sterf, (int *, T *, T *, int *))                                                               \
  X(stedc, (char *, int *, T *, T *, T *, int *, T *, int *, int *, int *, int *))                 \
  X(syevd, (char *, char *, int *, T *, int *, T *, T *, int *, int *, int *, int *))              \
  X(gesdd,                                                                                         \
    (char *, int *, int *, T *, int *, T *, T *, int *, T *, int *, T *, int *, int *, int *))

#define EF_BLAS_COMPLEX(X)                                                                         \
  EF_BLAS_COMMON(X)                                                                                \
  X(herk, (char *, char *, int *, int *, R *, T *, int *, R *, T *, int *))                        \
  X(geqp3, (int *, int *, T *, int *, int *, T *, T *, int *, R *, int *))                         \
  X(ungqr, (int *, int *, int *, T *, int *, T *, T *, int *, int *))                              \
  X(hetrd, (char *, int *, T *, int *, R *, R *, T *, T *, int *, int *))                          \
  X(heevd, (char *, char *, int *, T *, int *, R *, T *, int *, R *, int *, int *, int *, int *))  \
  X(gesdd, (char *, int *, int *, T *, int *, R *, T *, int *, T *, int *, T *, int *, R *, int *, \
            int *))

namespace eigenflow::blas {

// A routine may be bound while other threads call it.
#define X(name, signature) std::atomic<void(*) signature> name{nullptr};
template <class T> struct table {
  EF_BLAS_REAL(X)
};
template <class R> struct table<std::complex<R>> {
  using T = std::complex<R>;
  EF_BLAS_COMPLEX(X)
};
#undef X

struct tables {
  table<float> s;
  table<double> d;
  table<std::complex<float>> c;
  table<std::complex<double>> z;
};

// What is bound now.
const tables &bound_tables();

#if EIGENFLOW_LINK_BLAS
void link(tables &all);
#endif

} // namespace eigenflow::blas
