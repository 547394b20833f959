// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/pages.hpp>

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace eigenflow {

void *allocate_pages(std::size_t bytes) {
  void *memory = nullptr;
#if defined(__linux__)
  constexpr std::size_t huge = std::size_t{1} << 21;
  if (bytes >= 2 * huge) {
    memory = std::aligned_alloc(huge, (bytes + huge - 1) / huge * huge);
    if (memory != nullptr)
      madvise(memory, bytes / huge * huge, MADV_HUGEPAGE); // a hint: it may fail
  }
#endif
  if (memory == nullptr)
    memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr)
    throw std::bad_alloc();
  return memory;
}

void free_pages(void *memory) noexcept { std::free(memory); }

} // namespace eigenflow
