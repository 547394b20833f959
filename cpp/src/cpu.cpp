// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cpu.hpp>
#include <eigenflow/errors.hpp>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace eigenflow {
namespace {

cpu_level supported_level() {
#if EIGENFLOW_X86_LEVELS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4"))
    return cpu_level::v4;
  if (__builtin_cpu_supports("x86-64-v3"))
    return cpu_level::v3;
#endif
  return cpu_level::baseline;
}

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
