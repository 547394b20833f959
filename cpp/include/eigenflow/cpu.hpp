// SPDX-License-Identifier: BSD-3-Clause
// Hot loops are compiled once per x86-64 level and chosen once per process.
#pragma once

namespace eigenflow {

enum class cpu_level { baseline = 0, v3 = 1, v4 = 2 };

// The best level that this build holds and this CPU runs; EIGENFLOW_CPU_LEVEL (baseline, v3, v4)
// can lower it. v3 and v4 give the same bytes; the baseline has no fused multiply-add and differs
// in the last digits. Other architectures have one level, the baseline.
cpu_level active_cpu_level();
const char *cpu_level_name(cpu_level level);

} // namespace eigenflow
