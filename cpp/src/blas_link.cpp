// SPDX-License-Identifier: BSD-3-Clause
// Fills the table with the BLAS and LAPACK that the build links (CMake option EIGENFLOW_BLAS=find).
#if EIGENFLOW_LINK_BLAS

#include "blas_table.hpp"

extern "C" {
#define X(name, signature)                                                                         \
  void s##name##_ signature;                                                                       \
  void d##name##_ signature;
// The two precisions share a row of the table; T stands for void here, as in the Fortran symbol.
#define T void
EF_BLAS_ROUTINES(X)
#undef T
#undef X
}

namespace eigenflow::blas {

void link(table<float> &single, table<double> &dbl) {
#define X(name, signature)                                                                         \
  {                                                                                                \
    using single_routine = decltype(single.name);                                                  \
    using double_routine = decltype(dbl.name);                                                     \
    single.name = reinterpret_cast<single_routine>(&s##name##_);                                   \
    dbl.name = reinterpret_cast<double_routine>(&d##name##_);                                      \
  }
  EF_BLAS_ROUTINES(X)
#undef X
}

} // namespace eigenflow::blas

#endif
