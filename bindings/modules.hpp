// SPDX-License-Identifier: BSD-3-Clause
// One register function a file; each fills the submodule of the same name.
#pragma once

#include <pybind11/pybind11.h>

namespace eigenflow::bindings {

void register_runtime(pybind11::module_ &m);
void register_ranks(pybind11::module_ &m);
void register_call_log(pybind11::module_ &m);
void register_rng(pybind11::module_ &m);
void register_flow(pybind11::module_ &m);
void register_svd(pybind11::module_ &m);
void register_rank(pybind11::module_ &m);
void register_sine(pybind11::module_ &m);
void register_lds(pybind11::module_ &m);
void register_lds_score(pybind11::module_ &m);

} // namespace eigenflow::bindings
