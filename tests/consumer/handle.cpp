// SPDX-License-Identifier: BSD-3-Clause
// An extension of the user's own: mpi4py hands its communicator over as an integer.
#include <eigenflow/flow.hpp>
#include <eigenflow/mpi.hpp>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

namespace py = pybind11;

// Fortran's handle, comm.py2f(); under the ABI of MPI 5 there is MPI_Comm_fromint in its place.
static MPI_Comm communicator_of(int handle) {
#if defined(MPI_ABI_VERSION)
  return MPI_Comm_fromint(handle);
#else
  return MPI_Comm_f2c(static_cast<MPI_Fint>(handle));
#endif
}

static std::vector<double> losses(int handle, const py::array_t<double> &z, double time) {
  using namespace eigenflow;
  const mpi_comm comm(communicator_of(handle));
  const eigenflow::index n = z.size(); // Python brings the `index` of strings.h
  const std::vector<double> ones(static_cast<std::size_t>(n), 1.0);
  std::vector<double> theta(static_cast<std::size_t>(n));
  const flow::coordinates<double> in{row_major(z.data(), 1, n), row_major(ones.data(), 1, n), {}};
  const py::gil_scoped_release release;
  return flow::solve<double>({}, in, {&time, 1}, theta.data(), comm);
}

PYBIND11_MODULE(handle, m) {
  m.def("losses", &losses);
#if defined(MPI_ABI_VERSION)
  m.attr("wants") = "toint";
#else
  m.attr("wants") = "py2f";
#endif
}
