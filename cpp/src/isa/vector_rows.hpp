// SPDX-License-Identifier: BSD-3-Clause
// Rows of 2, 4 or 8 numbers are vectors to GCC and Clang on any processor. They stay inside the
// file that includes this, so it does not matter how a call would pass them.
#pragma once

#include <eigenflow/hd/config.hpp>

#if EF_GNU_EXTENSIONS
#pragma GCC diagnostic ignored "-Wpsabi"
namespace {

template <int N> struct row_of;
template <> struct row_of<2> {
  typedef double type __attribute__((vector_size(16)));
};
template <> struct row_of<4> {
  typedef double type __attribute__((vector_size(32)));
};
template <> struct row_of<8> {
  typedef double type __attribute__((vector_size(64)));
};

template <int N> using row = typename row_of<N>::type;

template <int N> EF_HD row<N> load(const double *from) {
  row<N> r;
  __builtin_memcpy(&r, from, sizeof(r));
  return r;
}

template <int N> EF_HD double sum(const row<N> &r) {
  double total[N];
  __builtin_memcpy(total, &r, sizeof(total));
  for (int half = N / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i)
      total[i] += total[i + half];
  return total[0];
}

} // namespace
#endif
