// SPDX-License-Identifier: BSD-3-Clause
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/rng.hpp>

namespace eigenflow::bindings {
namespace {

void fill_words(std::uint64_t key, index first_row, index first_col, const py::array &out,
                int workers) {
  const auto view = matrix_of<std::uint32_t>(out, "out");
  const py::gil_scoped_release release;
  rng::fill_words(key, first_row, first_col, view, workers);
}

void fill_normals(std::uint64_t key, index first_row, index first_col, const py::array &out,
                  int workers) {
  with_float_type(out, [&](auto zero) {
    const auto view = matrix_of<decltype(zero)>(out, "out");
    const py::gil_scoped_release release;
    rng::fill_normals(key, first_row, first_col, view, workers);
  });
}

} // namespace

void register_rng(py::module_ &m) {
  m.def("fill_words", &fill_words, py::arg("key"), py::arg("first_row"), py::arg("first_col"),
        py::arg("out"), py::arg("workers"));
  m.def("fill_normals", &fill_normals, py::arg("key"), py::arg("first_row"), py::arg("first_col"),
        py::arg("out"), py::arg("workers"));
}

} // namespace eigenflow::bindings
