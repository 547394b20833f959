// SPDX-License-Identifier: BSD-3-Clause
// What tests of matrices begin with: places in a vector, normal deviates, and memory with its view.
#pragma once

#include <eigenflow/rng.hpp>
#include <eigenflow/scalars.hpp>
#include <eigenflow/views.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace samples {

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// A normal deviate by its number; a complex one has two independent parts.
template <class W> W normal(std::uint64_t key, std::int64_t number) {
  double parts[2];
  eigenflow::rng::fill_normals<double>(key, 2 * number, 0, eigenflow::col_major(parts, 2, 1), 1);
  if constexpr (eigenflow::is_complex<W>)
    return W(parts[0], parts[1]);
  else
    return W(parts[0]);
}

// Row-major.
inline std::vector<double> normals(std::uint64_t key, std::int64_t rows, std::int64_t cols) {
  std::vector<double> out(at(rows * cols));
  eigenflow::rng::fill_normals<double>(key, 0, 0, eigenflow::row_major(out.data(), rows, cols), 1);
  return out;
}

// Column-major memory with its view.
template <class T> struct dense {
  dense(std::int64_t rows, std::int64_t cols)
      : data(at(rows * cols)), view(eigenflow::col_major(data.data(), rows, cols)) {}
  dense(const dense &other)
      : data(other.data),
        view(eigenflow::col_major(data.data(), other.view.rows, other.view.cols)) {}
  dense &operator=(const dense &) = delete;
  std::vector<T> data;
  eigenflow::matrix_view<T> view;
};

template <class T> dense<T> gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t key) {
  dense<T> out(rows, cols);
  eigenflow::rng::fill_normals<T>(key, 0, 0, out.view, 1);
  return out;
}

} // namespace samples
