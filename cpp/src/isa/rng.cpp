// SPDX-License-Identifier: BSD-3-Clause
#include "rng.hpp"

#include <eigenflow/hd/gaussian.hpp>
#include <eigenflow/hd/philox.hpp>

namespace {

void words(std::uint64_t key, std::uint64_t row, std::uint64_t first_col, std::int64_t n,
           std::uint32_t *out, std::int64_t stride) {
  std::int64_t done = 0;
  while (done < n) {
    const std::uint64_t col = first_col + static_cast<std::uint64_t>(done);
    const auto block = eigenflow::hd::philox4x32(col / 4, row, key);
    for (std::uint64_t lane = col % 4; lane < 4 && done < n; ++lane, ++done)
      out[done * stride] = block.word[lane];
  }
}

template <class T>
void normals(std::uint64_t key, std::uint64_t row, std::uint64_t first_col, std::int64_t n, T *out,
             std::int64_t stride) {
  std::int64_t done = 0;
  while (done < n) {
    const std::uint64_t col = first_col + static_cast<std::uint64_t>(done);
    T block[4];
    eigenflow::hd::normals(key, row, col / 4, block);
    for (std::uint64_t lane = col % 4; lane < 4 && done < n; ++lane, ++done)
      out[done * stride] = block[lane];
  }
}

} // namespace

EF_ISA_DEFINE(rng, {words, normals<float>, normals<double>})
