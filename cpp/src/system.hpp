// SPDX-License-Identifier: BSD-3-Clause
// What differs between operating systems; memory by pages is in eigenflow/pages.hpp.
#pragma once

#include <cstddef>

namespace eigenflow {

// The CPUs that this process may run on, where the system tells; else those of the machine.
int available_cpus();

constexpr std::size_t huge_page = std::size_t{1} << 21;

// Asks for huge pages where the system offers them: the first touch of a page costs as much as a
// product takes for a few kilobytes, and there are 512 times fewer of them. Only advice: a refusal
// changes nothing.
void prefer_huge_pages(void *memory, std::size_t bytes);

} // namespace eigenflow
