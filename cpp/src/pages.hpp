// SPDX-License-Identifier: BSD-3-Clause
// Memory without initial values. What is large comes in huge pages where the system offers them:
// the first touch of a page costs as much as a product takes for a few kilobytes, and there are 512
// times fewer of them. Pages that are never touched cost nothing.
#pragma once

#include <eigenflow/views.hpp>

#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace eigenflow {

struct page_free {
  void operator()(void *memory) const { std::free(memory); }
};
template <class T> using pages = std::unique_ptr<T[], page_free>;

template <class T> pages<T> allocate_pages(index count) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
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
  return pages<T>(static_cast<T *>(memory));
}

} // namespace eigenflow
