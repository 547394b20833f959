// SPDX-License-Identifier: BSD-3-Clause
// The table itself, one row a routine: the Fortran name without its precision letter, and its
// signature over T. Private: blas.cpp is the only caller, blas_link.cpp the only other writer.
#pragma once

#define EF_BLAS_ROUTINES(X)                                                                        \
  X(gemm, (char *, char *, int *, int *, int *, T *, T *, int *, T *, int *, T *, T *, int *))     \
  X(syrk, (char *, char *, int *, int *, T *, T *, int *, T *, T *, int *))                        \
  X(trsm, (char *, char *, char *, char *, int *, int *, T *, T *, int *, T *, int *))             \
  X(potrf, (char *, int *, T *, int *, int *))                                                     \
  X(geqrf, (int *, int *, T *, int *, T *, T *, int *, int *))                                     \
  X(orgqr, (int *, int *, int *, T *, int *, T *, T *, int *, int *))                              \
  X(syevd, (char *, char *, int *, T *, int *, T *, T *, int *, int *, int *, int *))              \
  X(gesdd,                                                                                         \
    (char *, int *, int *, T *, int *, T *, T *, int *, T *, int *, T *, int *, int *, int *))

namespace eigenflow::blas {

template <class T> struct table {
#define X(name, signature) void(*name) signature = nullptr;
  EF_BLAS_ROUTINES(X)
#undef X
};

#if EIGENFLOW_LINK_BLAS
void link(table<float> &single, table<double> &dbl);
#endif

} // namespace eigenflow::blas
