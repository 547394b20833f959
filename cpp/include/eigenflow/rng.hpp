// SPDX-License-Identifier: BSD-3-Clause
// Counter-based random numbers: entry (i, j) of a random matrix depends on (key, i, j) only, so it
// is the same for any number of workers, any block size and any order of evaluation.
#pragma once

#include <eigenflow/views.hpp>

#include <cstdint>

namespace eigenflow::rng {

// out(i, j) = 32 random bits of entry (first_row + i, first_col + j).
void fill_words(std::uint64_t key, index first_row, index first_col, matrix_view<std::uint32_t> out,
                int workers = 0);

// out(i, j) = standard normal of entry (first_row + i, first_col + j), T = float or double. The two
// types draw different numbers. The levels v3 and v4 agree to the bit, others to a few ulp.
template <class T>
void fill_normals(std::uint64_t key, index first_row, index first_col, matrix_view<T> out,
                  int workers = 0);

} // namespace eigenflow::rng
