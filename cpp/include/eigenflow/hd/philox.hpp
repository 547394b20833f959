// SPDX-License-Identifier: BSD-3-Clause
// Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC
// 2011): four random words from a 128-bit counter and a 64-bit key, with no state to carry.
#pragma once

#include <eigenflow/hd/config.hpp>

EF_HD_BEGIN

struct philox_words {
  uint32 word[4];
};

EF_HD philox_words philox4x32(uint64 counter_low, uint64 counter_high, uint64 key) {
  uint32 c0 = static_cast<uint32>(counter_low);
  uint32 c1 = static_cast<uint32>(counter_low >> 32);
  uint32 c2 = static_cast<uint32>(counter_high);
  uint32 c3 = static_cast<uint32>(counter_high >> 32);
  uint32 k0 = static_cast<uint32>(key);
  uint32 k1 = static_cast<uint32>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64 product0 = static_cast<uint64>(0xD2511F53u) * c0;
    const uint64 product1 = static_cast<uint64>(0xCD9E8D57u) * c2;
    c0 = static_cast<uint32>(product1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32>(product1);
    c2 = static_cast<uint32>(product0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32>(product0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

EF_HD_END
