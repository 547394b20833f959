// SPDX-License-Identifier: BSD-3-Clause
#include "modules.hpp"

namespace eigenflow::bindings {

void register_lds(pybind11::module_ &m) { m.doc() = "Kernels of eigenflow.lds."; }

} // namespace eigenflow::bindings
