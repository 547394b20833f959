// SPDX-License-Identifier: BSD-3-Clause
#include "modules.hpp"

namespace eigenflow::bindings {

void register_flow(pybind11::module_ &m) { m.doc() = "Kernels of eigenflow.flow."; }

} // namespace eigenflow::bindings
