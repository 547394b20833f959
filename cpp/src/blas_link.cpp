// SPDX-License-Identifier: BSD-3-Clause
// Fills the table with the BLAS and LAPACK that the build links (CMake option EIGENFLOW_BLAS=find).
#if EIGENFLOW_LINK_BLAS

#include "blas_table.hpp"

extern "C" {
// Precisions share a row of the table; T and R stand for void here, as in the Fortran symbol.
#define T void
#define R void
#define X(name, signature)                                                                         \
  void s##name##_ signature;                                                                       \
  void d##name##_ signature;
EF_BLAS_REAL(X)
#undef X
#define X(name, signature)                                                                         \
  void c##name##_ signature;                                                                       \
  void z##name##_ signature;
EF_BLAS_COMPLEX(X)
#undef X
#undef R
#undef T
}

namespace eigenflow::blas {

void link(tables &all) {
#define LINK(precision, name)                                                                      \
  all.precision.name =                                                                             \
      reinterpret_cast<decltype(all.precision.name)::value_type>(&precision##name##_);
#define X(name, signature) LINK(s, name) LINK(d, name)
  EF_BLAS_REAL(X)
#undef X
#define X(name, signature) LINK(c, name) LINK(z, name)
  EF_BLAS_COMPLEX(X)
#undef X
#undef LINK
}

} // namespace eigenflow::blas

#endif
