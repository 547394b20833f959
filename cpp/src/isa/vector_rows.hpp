// SPDX-License-Identifier: BSD-3-Clause
// Rows of 2, 4 or 8 numbers are vectors to GCC and Clang on any processor. They stay inside the
// file that includes this, so it does not matter how a call would pass them.
#pragma once

#if defined(__GNUC__)
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

} // namespace
#endif
