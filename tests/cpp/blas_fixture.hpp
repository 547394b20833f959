// SPDX-License-Identifier: BSD-3-Clause
// BLAS for test programs. A build that found one has it; otherwise the library that
// EIGENFLOW_TEST_BLAS names is loaded, and without that the program ends as skipped.
#pragma once

#include <eigenflow/blas.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace blas_fixture {

constexpr int skipped = 77; // CTest's SKIP_RETURN_CODE

#ifdef _WIN32
inline void *open_library(const char *path) {
  const HMODULE library = LoadLibraryA(path);
  if (library == nullptr)
    std::printf("EIGENFLOW_TEST_BLAS: %s: error %lu\n", path, GetLastError());
  return static_cast<void *>(library);
}
inline void *find_routine(void *library, const std::string &name) {
  return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(library), name.c_str()));
}
#else
inline void *open_library(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    std::printf("EIGENFLOW_TEST_BLAS: %s\n", dlerror());
  return library;
}
inline void *find_routine(void *library, const std::string &name) {
  return dlsym(library, name.c_str());
}
#endif

// The library that comes with SciPy's wheels has names such as scipy_dgemm_.
inline bool bind_from(const char *path) {
  void *library = open_library(path);
  if (library == nullptr)
    return false;
  for (const char *name : eigenflow::blas::names()) {
    const std::string base(name);
    void *routine = nullptr;
    for (const std::string &symbol : {"scipy_" + base + "_", base + "_", base})
      if (routine == nullptr)
        routine = find_routine(library, symbol);
    if (routine == nullptr || !eigenflow::blas::bind(name, routine)) {
      std::printf("EIGENFLOW_TEST_BLAS: %s has no %s\n", path, name);
      return false;
    }
  }
  return true;
}

struct binding {
  binding() {
    if (eigenflow::blas::available())
      return;
    const char *path = std::getenv("EIGENFLOW_TEST_BLAS");
    if (path != nullptr && bind_from(path))
      return;
    std::printf("skipped: no BLAS in this build; set EIGENFLOW_TEST_BLAS to a library file\n");
    std::fflush(stdout);
    // A path that does not work is a failure, not a reason to skip.
    std::exit(path == nullptr ? skipped : 1);
  }
};

inline const binding bound;

} // namespace blas_fixture
