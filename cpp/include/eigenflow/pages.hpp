// SPDX-License-Identifier: BSD-3-Clause
// Memory without initial values. What is large comes in huge pages where the system offers them:
// the first touch of a page costs as much as a product takes for a few kilobytes, and there are 512
// times fewer of them. Pages that are never touched cost nothing; of the memory that is used, up to
// two fifths may lie behind its end.
#pragma once

#include <eigenflow/views.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace eigenflow {

// Throws std::bad_alloc.
void *allocate_pages(std::size_t bytes);
void free_pages(void *memory) noexcept;

struct page_free {
  void operator()(void *memory) const { free_pages(memory); }
};
template <class T> using pages = std::unique_ptr<T[], page_free>;

template <class T> pages<T> allocate_pages(index count) {
  return pages<T>(static_cast<T *>(allocate_pages(static_cast<std::size_t>(count) * sizeof(T))));
}

template <class T> struct page_allocator {
  using value_type = T;
  page_allocator() = default;
  template <class U> page_allocator(const page_allocator<U> &) {}
  T *allocate(std::size_t n) { return static_cast<T *>(allocate_pages(n * sizeof(T))); }
  void deallocate(T *memory, std::size_t) noexcept { free_pages(memory); }
  void construct(T *) noexcept {}
  template <class... Arguments> void construct(T *at, Arguments &&...arguments) {
    ::new (static_cast<void *>(at)) T(std::forward<Arguments>(arguments)...);
  }
  friend bool operator==(const page_allocator &, const page_allocator &) { return true; }
};

// A vector of numbers whose resize() leaves new ones without a value, for results that are filled
// by all workers: the first touch of their pages is shared too.
template <class T> using page_vector = std::vector<T, page_allocator<T>>;

} // namespace eigenflow
