// SPDX-License-Identifier: BSD-3-Clause
#include "ranks.hpp"

#include "modules.hpp"

#include <string>
#include <utility>

namespace py = pybind11;

namespace eigenflow::bindings {
namespace {

// Memory of the caller, which outlives the call.
template <class T> py::array view_of(std::span<T> x) {
  return py::array_t<T>(static_cast<py::ssize_t>(x.size()), x.data(), py::none());
}

std::span<double> span_of(const py::array_t<double> &x) {
  return {static_cast<double *>(const_cast<void *>(static_cast<const void *>(x.data()))),
          static_cast<std::size_t>(x.size())};
}

// An exception of the communicator ends the call here: the other ranks cannot be told.
template <class Call> void message(Call &&call) {
  const py::gil_scoped_acquire gil;
  try {
    call();
  } catch (py::error_already_set &error) {
    throw communication_error(std::string("comm: ") + error.what());
  }
}

template <class T> void reduce(const py::object &comm, std::span<T> x, reduction how) {
  static constexpr const char *names[] = {"sum", "min", "max"};
  message([&] { comm.attr("allreduce")(view_of(x), names[static_cast<int>(how)]); });
}

guarded_group::failure kind_of(const std::string &name) {
  using failure = guarded_group::failure;
  if (name == "ValueError")
    return failure::argument;
  if (name == "TypeError")
    return failure::type;
  if (name == "MemoryError")
    return failure::memory;
  return name == "KeyboardInterrupt" ? failure::interrupt : failure::other;
}

void agree(const python_ranks &ranks, std::uint32_t which) { guarded_group(ranks).agree(which); }

void fail(const python_ranks &ranks, const std::string &kind, const std::string &text) {
  guarded_group(ranks).fail(kind_of(kind), text);
}

void translate_type_error(std::exception_ptr failure) {
  try {
    if (failure)
      std::rethrow_exception(failure);
  } catch (const type_error &error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  }
}

} // namespace

python_ranks::python_ranks(py::object comm)
    : comm_(std::move(comm)), rank_(comm_.attr("rank").cast<int>()),
      size_(comm_.attr("size").cast<int>()) {}

void python_ranks::allreduce(std::span<double> x, reduction how) const { reduce(comm_, x, how); }
void python_ranks::allreduce(std::span<float> x, reduction how) const { reduce(comm_, x, how); }
void python_ranks::allreduce(std::span<std::int64_t> x, reduction how) const {
  reduce(comm_, x, how);
}

void python_ranks::exscan(std::span<double> x, const combine &op) const {
  message([&] {
    const py::cpp_function join(
        [&op](const py::array_t<double> &first, const py::array_t<double> &second) {
          op(span_of(first), span_of(second));
        });
    comm_.attr("exscan")(view_of(x), join);
  });
}

void python_ranks::bcast(std::span<std::byte> x, int root) const {
  message([&] {
    const std::span bytes(reinterpret_cast<unsigned char *>(x.data()), x.size());
    comm_.attr("bcast")(view_of(bytes), root);
  });
}

void register_ranks(py::module_ &m) {
  m.doc() = "Processes that share the data of one call.";
  py::register_exception<communication_error>(m, "CommunicationError", PyExc_RuntimeError)
      .attr("__doc__") =
      "A message between ranks failed: one has died, or the communicator was freed.";
  py::register_exception_translator(&translate_type_error);
  py::class_<python_ranks>(m, "Ranks")
      .def(py::init<py::object>(), py::arg("comm"))
      .def("agree", &agree, py::arg("which"))
      .def("fail", &fail, py::arg("kind"), py::arg("text"));
}

} // namespace eigenflow::bindings
