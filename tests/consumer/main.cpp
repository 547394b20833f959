// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cpu.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/version.hpp>

#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
  std::vector<std::uint32_t> words(4);
  eigenflow::rng::fill_words(0, 0, 0, eigenflow::row_major(words.data(), 1, 4));
  std::printf("eigenflow %s on %s: %08x\n", EIGENFLOW_VERSION,
              eigenflow::cpu_level_name(eigenflow::active_cpu_level()), words[0]);
  return words[0] == 0x6627e8d5u ? 0 : 1;
}
