// SPDX-License-Identifier: BSD-3-Clause
#include "isa/rng.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>
#include <eigenflow/rng.hpp>

#include <algorithm>

namespace eigenflow::rng {
namespace {

constexpr index words_per_chunk = 1 << 17; // about 300 us of work

} // namespace

void fill_words(std::uint64_t key, index first_row, index first_col, matrix_view<std::uint32_t> out,
                int workers) {
  require(first_row >= 0 && first_col >= 0, "first_row, first_col: must not be negative");
  const index rows_per_chunk = std::max<index>(1, words_per_chunk / std::max<index>(1, out.cols));
  const auto rows = [&](index begin, index end, int) {
    for (index i = begin; i < end; ++i)
      isa::rng().words(key, static_cast<std::uint64_t>(first_row + i),
                       static_cast<std::uint64_t>(first_col), out.cols, &out(i, 0), out.col_stride);
  };
  if (out.cols > 0)
    parallel_for(out.rows, rows_per_chunk, rows, workers);
}

} // namespace eigenflow::rng
