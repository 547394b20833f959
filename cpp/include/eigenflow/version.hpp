// SPDX-License-Identifier: BSD-3-Clause
// The one place that holds the version: CMake, the wheel and show_config() read it from here.
#pragma once

#define EIGENFLOW_VERSION "0.1.0"
