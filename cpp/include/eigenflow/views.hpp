// SPDX-License-Identifier: BSD-3-Clause
// Non-owning views of strided memory. Strides count elements, may be zero (broadcast) or negative.
#pragma once

#include <cstdint>

namespace eigenflow {

using index = std::int64_t;

template <class T> struct vector_view {
  T *data = nullptr;
  index size = 0;
  index stride = 1;

  T &operator[](index i) const { return data[i * stride]; }
  bool contiguous() const { return stride == 1 || size <= 1; }
  vector_view slice(index begin, index end) const {
    return {data + begin * stride, end - begin, stride};
  }
  operator vector_view<const T>() const { return {data, size, stride}; }
};

template <class T> struct matrix_view {
  T *data = nullptr;
  index rows = 0;
  index cols = 0;
  index row_stride = 0;
  index col_stride = 1;

  T &operator()(index i, index j) const { return data[i * row_stride + j * col_stride]; }
  vector_view<T> row(index i) const { return {data + i * row_stride, cols, col_stride}; }
  vector_view<T> col(index j) const { return {data + j * col_stride, rows, row_stride}; }
  matrix_view block(index i, index j, index n_rows, index n_cols) const {
    return {data + i * row_stride + j * col_stride, n_rows, n_cols, row_stride, col_stride};
  }
  matrix_view transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  operator matrix_view<const T>() const { return {data, rows, cols, row_stride, col_stride}; }
};

// Row-major (C order) and column-major (Fortran order) views of packed memory.
template <class T> matrix_view<T> row_major(T *data, index rows, index cols) {
  return {data, rows, cols, cols, 1};
}
template <class T> matrix_view<T> col_major(T *data, index rows, index cols) {
  return {data, rows, cols, 1, rows};
}

} // namespace eigenflow
