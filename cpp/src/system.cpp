// SPDX-License-Identifier: BSD-3-Clause
#include "system.hpp"

#include <eigenflow/pages.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>

#ifdef __linux__
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace eigenflow {

int available_cpus() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void prefer_huge_pages([[maybe_unused]] void *memory, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  if (std::align(page, page, memory, bytes) != nullptr)
    madvise(memory, bytes / page * page, MADV_HUGEPAGE);
#endif
}

void *allocate_pages(std::size_t bytes) {
  void *memory = nullptr;
#ifdef __linux__
  // The end is a huge page too where three fifths of all, or more, are used.
  const std::size_t whole = (bytes + huge_page - 1) / huge_page * huge_page;
  const bool fills = bytes > whole / 5 * 3;
  if (bytes >= huge_page || fills) {
    memory = std::aligned_alloc(huge_page, whole);
    if (memory != nullptr)
      prefer_huge_pages(memory, fills ? whole : bytes);
  }
#endif
  if (memory == nullptr)
    memory = std::malloc(std::max<std::size_t>(bytes, 1));
  if (memory == nullptr)
    throw std::bad_alloc();
  return memory;
}

void free_pages(void *memory) noexcept { std::free(memory); }

} // namespace eigenflow
