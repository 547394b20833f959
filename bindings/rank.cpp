// SPDX-License-Identifier: BSD-3-Clause
#include "modules.hpp"

namespace eigenflow::bindings {

void register_rank(pybind11::module_ &m) {
  m.doc() = "Kernels of eigenflow.lowrank: rank rules and allocation.";
}

} // namespace eigenflow::bindings
