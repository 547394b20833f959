// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/hd/philox.hpp>
#include <eigenflow/rng.hpp>

#include <cstdint>

TEST(philox_gives_the_published_words) {
  const auto words =
      eigenflow::hd::philox4x32(0x85a308d3243f6a88, 0x0370734413198a2e, 0x299f31d0a4093822);
  CHECK(words.word[0] == 0xd16cfe09);
  CHECK(words.word[1] == 0x94fdcceb);
  CHECK(words.word[2] == 0x5001e420);
  CHECK(words.word[3] == 0x24126ea1);
}

TEST(a_strided_block_holds_the_words_of_its_entries) {
  std::vector<std::uint32_t> whole(50 * 40), part(20 * 10);
  eigenflow::rng::fill_words(9, 0, 0, eigenflow::row_major(whole.data(), 50, 40), 1);
  eigenflow::rng::fill_words(9, 7, 5, eigenflow::col_major(part.data(), 20, 10), 2);
  for (std::size_t i = 0; i < 20; ++i)
    for (std::size_t j = 0; j < 10; ++j)
      CHECK(part[i + 20 * j] == whole[(i + 7) * 40 + j + 5]);
}
