// SPDX-License-Identifier: BSD-3-Clause
// The table of routines: who fills it, and whether it is full.
#include "blas_table.hpp"

#include <eigenflow/blas.hpp>

#include <atomic>
#include <string_view>
#include <utility>

namespace eigenflow::blas {
namespace {

struct filled_tables : tables {
#if EIGENFLOW_LINK_BLAS
  filled_tables() { link(*this); }
#endif
};

tables &all() {
  static filled_tables instance;
  return instance;
}

std::atomic<void (*)(int)> thread_hook{nullptr};

} // namespace

const tables &bound_tables() { return all(); }

void set_thread_hook(void (*hook)(int count)) { thread_hook.store(hook); }

threads::threads(int count)
    : hook_(count != current_ ? thread_hook.load() : nullptr),
      before_(std::exchange(current_, count)) {
  if (hook_ != nullptr)
    hook_(count);
}

threads::~threads() {
  current_ = before_;
  if (hook_ != nullptr)
    hook_(before_);
}

std::span<const char *const> names() {
  static constexpr const char *list[] = {
#define X(name, signature) "s" #name, "d" #name,
      EF_BLAS_REAL(X)
#undef X
#define X(name, signature) "c" #name, "z" #name,
          EF_BLAS_COMPLEX(X)
#undef X
  };
  return list;
}

bool bind(const char *name, void *routine) {
  const std::string_view wanted(name);
#define BIND(precision, slot)                                                                      \
  if (wanted == #precision #slot) {                                                                \
    all().precision.slot = reinterpret_cast<decltype(all().precision.slot.load())>(routine);       \
    return true;                                                                                   \
  }
#define X(slot, signature) BIND(s, slot) BIND(d, slot)
  EF_BLAS_REAL(X)
#undef X
#define X(slot, signature) BIND(c, slot) BIND(z, slot)
  EF_BLAS_COMPLEX(X)
#undef X
#undef BIND
  return false;
}

bool available() {
#define X(slot, signature)                                                                         \
  if (all().s.slot == nullptr || all().d.slot == nullptr)                                          \
    return false;
  EF_BLAS_REAL(X)
#undef X
#define X(slot, signature)                                                                         \
  if (all().c.slot == nullptr || all().z.slot == nullptr)                                          \
    return false;
  EF_BLAS_COMPLEX(X)
#undef X
  return true;
}

} // namespace eigenflow::blas
