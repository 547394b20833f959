// SPDX-License-Identifier: BSD-3-Clause
// BLAS for test programs. A build that found one has it; otherwise the library that
// EIGENFLOW_TEST_BLAS names is loaded, and without that the program ends as skipped.
#pragma once

#include <eigenflow/blas.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace blas_fixture {

constexpr int skipped = 77; // CTest's SKIP_RETURN_CODE

// The library that comes with SciPy's wheels has names such as scipy_dgemm_.
inline bool bind_from(const char *path) {
#if defined(_WIN32)
  (void)path;
  return false;
#else
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::printf("EIGENFLOW_TEST_BLAS: %s\n", dlerror());
    return false;
  }
  for (const char *name : eigenflow::blas::names()) {
    const std::string base(name);
    void *routine = nullptr;
    for (const std::string &symbol : {"scipy_" + base + "_", base + "_", base})
      if (routine == nullptr)
        routine = dlsym(library, symbol.c_str());
    if (routine == nullptr || !eigenflow::blas::bind(name, routine)) {
      std::printf("EIGENFLOW_TEST_BLAS: %s has no %s\n", path, name);
      return false;
    }
  }
  return true;
#endif
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
