// SPDX-License-Identifier: BSD-3-Clause
// How a module gets its hot loops. For a module `rng`:
//   isa/rng.hpp  declares `struct rng_kernels` (function pointers) and ends with
//   EF_ISA_DECLARE(rng); isa/rng.cpp  defines the loops in an unnamed namespace and ends with
//   EF_ISA_DEFINE(rng, {...}); rng.cpp      calls isa::rng().loop(...).
// CMake compiles isa/*.cpp once per level, with EF_LEVEL_NS set. Such a file includes hd headers,
// its own header and nothing that instantiates standard templates: the linker keeps one copy of
// those, and it might be the one that only new CPUs run.
#pragma once

#include <eigenflow/cpu.hpp>

#if EIGENFLOW_X86_LEVELS
#define EF_ISA_DECLARE(module)                                                                     \
  namespace eigenflow::isa {                                                                       \
  namespace base {                                                                                 \
  extern const module##_kernels module;                                                            \
  }                                                                                                \
  namespace v3 {                                                                                   \
  extern const module##_kernels module;                                                            \
  }                                                                                                \
  namespace v4 {                                                                                   \
  extern const module##_kernels module;                                                            \
  }                                                                                                \
  inline const module##_kernels &module() {                                                        \
    switch (active_cpu_level()) {                                                                  \
    case cpu_level::v4:                                                                            \
      return v4::module;                                                                           \
    case cpu_level::v3:                                                                            \
      return v3::module;                                                                           \
    default:                                                                                       \
      return base::module;                                                                         \
    }                                                                                              \
  }                                                                                                \
  }
#else
#define EF_ISA_DECLARE(module)                                                                     \
  namespace eigenflow::isa {                                                                       \
  namespace base {                                                                                 \
  extern const module##_kernels module;                                                            \
  }                                                                                                \
  inline const module##_kernels &module() { return base::module; }                                 \
  }
#endif

#define EF_ISA_DEFINE(module, ...)                                                                 \
  namespace eigenflow::isa::EF_LEVEL_NS {                                                          \
  const module##_kernels module = __VA_ARGS__;                                                     \
  }
