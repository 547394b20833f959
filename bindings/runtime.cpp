// SPDX-License-Identifier: BSD-3-Clause
// CPU level, workers, the BLAS table, Ctrl-C and calls that were cancelled.
#include "modules.hpp"

#include <eigenflow/blas.hpp>
#include <eigenflow/cpu.hpp>
#include <eigenflow/parallel.hpp>

#include <pybind11/stl.h>

#include <atomic>
#include <string>
#include <vector>

namespace py = pybind11;

namespace eigenflow::bindings {
namespace {

// Python functions that are called from C++. They live as long as the process: the interpreter may
// be gone before the last thread is, and a thread may be about to call one that was replaced.
using kept_function = std::atomic<PyObject *>;

void keep(kept_function &slot, const py::function &function) {
  slot.store(function.inc_ref().ptr());
}

// Raises when the work of the thread it runs on is not wanted any more.
kept_function stop_check{nullptr};

void set_stop_check(const py::function &check) { keep(stop_check, check); }

// Runs on the thread that released the GIL, every 50 ms at most. Outside the main thread
// PyErr_CheckSignals does nothing, as Python wants it. The error stays pending.
bool should_stop() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0)
    return true;
  PyObject *check = stop_check.load();
  if (check == nullptr)
    return false;
  PyObject *said = PyObject_CallNoArgs(check);
  Py_XDECREF(said);
  return said == nullptr;
}

// The capsules of SciPy carry a C function pointer; its signature was compared in Python.
void bind_blas(const std::string &name, const py::capsule &routine) {
  if (!blas::bind(name.c_str(), PyCapsule_GetPointer(routine.ptr(), routine.name())))
    throw py::key_error(name);
}

kept_function blas_threads{nullptr};

// Also called while an exception, such as that of Ctrl-C, is on its way: it stays pending.
void call_blas_threads(int count) {
  const py::gil_scoped_acquire gil;
  const py::error_scope pending;
  try {
    py::handle(blas_threads.load())(count);
  } catch (py::error_already_set &error) {
    error.discard_as_unraisable("eigenflow: the number of BLAS threads");
  }
}

void set_blas_thread_hook(const py::function &function) {
  keep(blas_threads, function);
  blas::set_thread_hook(&call_blas_threads);
}

std::vector<std::string> blas_names() {
  const auto names = blas::names();
  return {names.begin(), names.end()};
}

} // namespace

// What threadpoolctl looks for in the library: see python/eigenflow/_threads.py.
extern "C" PYBIND11_EXPORT int eigenflow_get_num_threads() { return default_workers(); }
extern "C" PYBIND11_EXPORT void eigenflow_set_num_threads(int workers) {
  set_default_workers(workers);
}

void register_runtime(py::module_ &m) {
  set_interrupt_hook(&should_stop);
  m.def("set_stop_check", &set_stop_check, py::arg("check"));
  m.def("cpu_level", [] { return cpu_level_name(active_cpu_level()); });
  m.def("default_workers", &default_workers);
  m.def("resolve_workers", &resolve_workers, py::arg("workers"));
  m.def("bind_blas", &bind_blas, py::arg("name"), py::arg("routine"));
  m.def("set_blas_thread_hook", &set_blas_thread_hook, py::arg("function"));
  m.def("blas_names", &blas_names);
  m.def("blas_available", &blas::available);
}

} // namespace eigenflow::bindings
