// SPDX-License-Identifier: BSD-3-Clause
#include "isa/rng.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>
#include <eigenflow/rng.hpp>

#include <algorithm>

namespace eigenflow::rng {
namespace {

constexpr index words_per_chunk = 1 << 17;   // about 300 us of work
constexpr index normals_per_chunk = 1 << 14; // the same

void row_kernel(std::uint64_t key, std::uint64_t row, std::uint64_t first_col,
                vector_view<std::uint32_t> out) {
  isa::rng().words(key, row, first_col, out.size, out.data, out.stride);
}
void row_kernel(std::uint64_t key, std::uint64_t row, std::uint64_t first_col,
                vector_view<float> out) {
  isa::rng().normals_float(key, row, first_col, out.size, out.data, out.stride);
}
void row_kernel(std::uint64_t key, std::uint64_t row, std::uint64_t first_col,
                vector_view<double> out) {
  isa::rng().normals_double(key, row, first_col, out.size, out.data, out.stride);
}

template <class T>
void fill(std::uint64_t key, index first_row, index first_col, matrix_view<T> out, index per_chunk,
          int workers) {
  require(first_row >= 0 && first_col >= 0, "first_row, first_col: must not be negative");
  const index rows_per_chunk = std::max<index>(1, per_chunk / std::max<index>(1, out.cols));
  const auto rows = [&](index begin, index end, int) {
    for (index i = begin; i < end; ++i)
      row_kernel(key, static_cast<std::uint64_t>(first_row + i),
                 static_cast<std::uint64_t>(first_col), out.row(i));
  };
  if (out.cols > 0)
    parallel_for(out.rows, rows_per_chunk, rows, workers);
}

} // namespace

void fill_words(std::uint64_t key, index first_row, index first_col, matrix_view<std::uint32_t> out,
                int workers) {
  fill(key, first_row, first_col, out, words_per_chunk, workers);
}

template <class T>
void fill_normals(std::uint64_t key, index first_row, index first_col, matrix_view<T> out,
                  int workers) {
  fill(key, first_row, first_col, out, normals_per_chunk, workers);
}

template void fill_normals<float>(std::uint64_t, index, index, matrix_view<float>, int);
template void fill_normals<double>(std::uint64_t, index, index, matrix_view<double>, int);

} // namespace eigenflow::rng
