// SPDX-License-Identifier: BSD-3-Clause
#include "modules.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/version.hpp>

namespace py = pybind11;
namespace bindings = eigenflow::bindings;

namespace {

// Who asked to stop has left an error pending in the interpreter, Ctrl-C a KeyboardInterrupt: raise
// that one.
void translate_interrupt(std::exception_ptr failure) {
  try {
    if (failure)
      std::rethrow_exception(failure);
  } catch (const eigenflow::interrupted &) {
    if (PyErr_Occurred() == nullptr)
      PyErr_SetNone(PyExc_KeyboardInterrupt);
  }
}

} // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "Compiled kernels of eigenflow. Private: use the public functions.";
  m.attr("__version__") = EIGENFLOW_VERSION;
  py::register_exception<eigenflow::convergence_error>(m, "ConvergenceError", PyExc_RuntimeError);
  py::register_exception_translator(&translate_interrupt);
  const auto add = [&m](const char *name, void (*register_module)(py::module_ &)) {
    py::module_ submodule = m.def_submodule(name);
    register_module(submodule);
  };
  add("runtime", &bindings::register_runtime);
  add("ranks", &bindings::register_ranks);
  add("call_log", &bindings::register_call_log);
  add("rng", &bindings::register_rng);
  add("flow", &bindings::register_flow);
  add("svd", &bindings::register_svd);
  add("rank", &bindings::register_rank);
  add("sine", &bindings::register_sine);
  add("lds", &bindings::register_lds);
  add("lds_score", &bindings::register_lds_score);
}
