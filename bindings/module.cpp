// SPDX-License-Identifier: BSD-3-Clause
#include "modules.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/version.hpp>

namespace py = pybind11;
namespace bindings = eigenflow::bindings;

namespace {

// Ctrl-C has left a KeyboardInterrupt pending in the interpreter: raise that one.
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
  const auto sub = [&m](const char *name) { return m.def_submodule(name); };
  auto runtime = sub("runtime");
  bindings::register_runtime(runtime);
  auto rng = sub("rng");
  bindings::register_rng(rng);
}
