// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cpu.hpp>
#include <eigenflow/errors.hpp>

#include <algorithm>
#include <cstdlib>
#include <string>

#if EIGENFLOW_X86_LEVELS
#include <cpuid.h>
#endif

namespace eigenflow {
namespace {

#if EIGENFLOW_X86_LEVELS
// Bits of CPUID and of XCR0, as the x86-64 psABI defines its levels. The compilers' own test,
// __builtin_cpu_supports, needs a library that clang-cl does not link.
constexpr unsigned v3_leaf1_ecx = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;
constexpr unsigned v3_leaf7_ebx = 1u << 3 | 1u << 5 | 1u << 8;
constexpr unsigned v3_extended_ecx = 1u << 5;
constexpr unsigned v4_leaf7_ebx = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
constexpr unsigned avx_state = 0x06, avx512_state = 0xe6;

struct cpuid_words {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

cpuid_words cpuid(unsigned leaf) {
  cpuid_words w;
  __get_cpuid_count(leaf, 0, &w.eax, &w.ebx, &w.ecx, &w.edx); // zeros where the leaf is missing
  return w;
}

// Which registers the operating system saves; to be asked only where CPUID says OSXSAVE.
unsigned saved_state() {
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

constexpr bool has(unsigned word, unsigned bits) { return (word & bits) == bits; }

cpu_level supported_level() {
  const unsigned features = cpuid(7).ebx;
  if (!has(cpuid(1).ecx, v3_leaf1_ecx) || !has(features, v3_leaf7_ebx) ||
      !has(cpuid(0x80000001u).ecx, v3_extended_ecx))
    return cpu_level::baseline;
  const unsigned state = saved_state();
  if (has(features, v4_leaf7_ebx) && has(state, avx512_state))
    return cpu_level::v4;
  return has(state, avx_state) ? cpu_level::v3 : cpu_level::baseline;
}
#else
cpu_level supported_level() { return cpu_level::baseline; }
#endif

cpu_level choose_level() {
  const cpu_level best = supported_level();
  const char *text = std::getenv("EIGENFLOW_CPU_LEVEL");
  if (text == nullptr || *text == '\0')
    return best;
  for (const cpu_level level : {cpu_level::baseline, cpu_level::v3, cpu_level::v4})
    if (std::string(text) == cpu_level_name(level))
      return std::min(level, best);
  throw argument_error("EIGENFLOW_CPU_LEVEL: got '" + std::string(text) +
                       "', want baseline, v3 or v4");
}

} // namespace

cpu_level active_cpu_level() {
  static const cpu_level level = choose_level();
  return level;
}

const char *cpu_level_name(cpu_level level) {
  switch (level) {
  case cpu_level::v3:
    return "v3";
  case cpu_level::v4:
    return "v4";
  default:
    return "baseline";
  }
}

} // namespace eigenflow
