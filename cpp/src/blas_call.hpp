// SPDX-License-Identifier: BSD-3-Clause
// What every wrapper does before a Fortran routine sees its arguments. Private to blas.cpp and
// lapack.cpp.
#pragma once

#include "blas_table.hpp"

#include <eigenflow/blas.hpp>
#include <eigenflow/errors.hpp>

#include <algorithm>
#include <atomic>
#include <complex>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace eigenflow::blas {

template <class T> const table<T> &routines() {
  const tables &all = bound_tables();
  if constexpr (std::is_same_v<T, float>)
    return all.s;
  else if constexpr (std::is_same_v<T, double>)
    return all.d;
  else if constexpr (std::is_same_v<T, std::complex<float>>)
    return all.c;
  else
    return all.z;
}

// An empty slot would be a jump to address zero.
template <class Routine> Routine bound(const std::atomic<Routine> &slot, const char *name) {
  const Routine routine = slot.load();
  if (routine == nullptr)
    throw std::runtime_error(std::string("BLAS/LAPACK routine ") + name +
                             " is not bound: call eigenflow::blas::bind, or build with "
                             "EIGENFLOW_BLAS=find");
  return routine;
}
#define EF_ROUTINE(name) bound(routines<T>().name, #name)

inline int fortran_int(index value) {
  if (value > std::numeric_limits<int>::max())
    throw std::overflow_error("a BLAS dimension of " + std::to_string(value) +
                              " does not fit the 32-bit integers of this BLAS");
  return static_cast<int>(value);
}

// Fortran knows columns that follow each other, and no others: rows that are not packed, and
// columns that are turned, repeated or overlap, would be read as something else.
template <class T> int leading_dimension(matrix_view<T> a) {
  const bool readable =
      (a.row_stride == 1 || a.rows <= 1) && (a.col_stride >= a.rows || a.cols <= 1);
  if (!readable)
    throw argument_error("matrix: got strides " + std::to_string(a.row_stride) + " and " +
                         std::to_string(a.col_stride) + " for " + std::to_string(a.rows) + " x " +
                         std::to_string(a.cols) +
                         ", want column-major: rows packed, columns one after the other");
  return fortran_int(std::max<index>({1, a.rows, a.cols > 1 ? a.col_stride : 1}));
}

template <class T> T *packed(vector_view<T> x) {
  if (!x.contiguous())
    throw argument_error("vector: got stride " + std::to_string(x.stride) + ", want 1");
  return x.data;
}

inline void check_info(int info, const char *routine) {
  if (info < 0)
    throw std::logic_error(std::string(routine) + ": argument " + std::to_string(-info) +
                           " refused");
  if (info > 0)
    throw convergence_error(std::string(routine) + " did not converge");
}

inline char letter(transpose op) { return static_cast<char>(op); }
inline char letter(side where) { return static_cast<char>(where); }
inline char letter(triangle uplo) { return static_cast<char>(uplo); }

} // namespace eigenflow::blas
