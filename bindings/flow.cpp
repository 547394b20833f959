// SPDX-License-Identifier: BSD-3-Clause
// Coordinates arrive as matrices, one shape for all, broadcast by zero strides; results are packed
// arrays of times x rows x cols.
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/flow.hpp>

#include <pybind11/stl.h>

#include <vector>

namespace eigenflow::bindings {
namespace {

flow::options options_of(int depth, bool separate, int workers) {
  return {depth, separate ? flow::coupling::separate : flow::coupling::shared, workers};
}

template <class T>
flow::coordinates<T> coordinates_of(const py::array &z, const py::array &eigenvalues,
                                    const py::object &b0) {
  flow::coordinates<T> in{
      matrix_of<const T>(z, "z"), matrix_of<const T>(eigenvalues, "eigenvalues"), {}};
  if (!b0.is_none())
    in.b0 = matrix_of<const T>(b0.cast<py::array>(), "b0");
  return in;
}

template <class T> T *result_of(const py::object &out, const char *name, index size) {
  if (out.is_none())
    return nullptr;
  const auto array = out.cast<py::array>();
  T *data = data_of<T>(array, name, array.ndim());
  require(array.size() == size && (array.flags() & py::array::c_style) != 0,
          std::string(name) + ": want packed memory of times x coordinates");
  return data;
}

template <class T> flow::fields<T> fields_of(const py::dict &out, index size) {
  const auto field = [&](const char *name) -> T * {
    return out.contains(name) ? result_of<T>(out[name], name, size) : nullptr;
  };
  return {field("theta"),  field("residual"),      field("a"),
          field("b"),      field("beta"),          field("learned_eigenvalues"),
          field("d_z"),    field("d_eigenvalues"), field("d_b0"),
          field("d_times")};
}

flow::input_check check_of(const std::string &name) {
  require(name == "none" || name == "sign" || name == "finite",
          "check: got " + name + ", want none, sign or finite");
  return name == "none"   ? flow::input_check::none
         : name == "sign" ? flow::input_check::sign
                          : flow::input_check::finite;
}

bool evolve(const py::array &z, const py::array &eigenvalues, const py::object &b0,
            const py::array &times, int depth, bool separate, const py::dict &out, int workers,
            const std::string &check) {
  bool valid = true;
  with_float_type(z, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(z, eigenvalues, b0);
    const auto t = vector_of<const double>(times, "times");
    const auto fields = fields_of<T>(out, t.size * in.z.rows * in.z.cols);
    flow::options opts = options_of(depth, separate, workers);
    opts.check = check_of(check);
    const py::gil_scoped_release release;
    valid = flow::evolve(opts, in, t, fields);
  });
  return valid;
}

void vanilla(const py::array &z, const py::array &eigenvalues, const py::array &times,
             const py::array &out, int workers) {
  with_float_type(z, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(z, eigenvalues, py::none());
    const auto t = vector_of<const double>(times, "times");
    T *theta = result_of<T>(out, "out", t.size * in.z.rows * in.z.cols);
    const py::gil_scoped_release release;
    flow::vanilla(options_of(0, false, workers), in, t, theta);
  });
}

void learned_eigenvalues(const py::array &theta, const py::array &eigenvalues, const py::object &b0,
                         int depth, bool separate, const py::array &out, int workers) {
  with_float_type(theta, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(theta, eigenvalues, b0);
    T *learned = result_of<T>(out, "out", in.z.rows * in.z.cols);
    const py::gil_scoped_release release;
    flow::learned_eigenvalues(options_of(depth, separate, workers), in, learned);
  });
}

void link(const py::array &v, const py::array &eigenvalues, const py::object &b0, int depth,
          bool separate, const py::dict &out, int workers) {
  with_float_type(v, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(v, eigenvalues, b0);
    const auto field = [&](const char *name) -> T * {
      return out.contains(name) ? result_of<T>(out[name], name, in.z.rows * in.z.cols) : nullptr;
    };
    const flow::link_fields<T> fields{field("beta"), field("theta"), field("rate")};
    const py::gil_scoped_release release;
    flow::link(options_of(depth, separate, workers), in, fields);
  });
}

void sure(const py::array &z, const py::array &eigenvalues, const py::object &b0,
          const py::array &noise_variance, const py::array &times, int depth, bool separate,
          const py::array &out, int workers) {
  with_float_type(z, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(z, eigenvalues, b0);
    const auto variance = matrix_of<const T>(noise_variance, "noise_variance");
    const auto t = vector_of<const double>(times, "times");
    const auto risk = matrix_of<double>(out, "out");
    const py::gil_scoped_release release;
    flow::sure(options_of(depth, separate, workers), in, variance, t, risk);
  });
}

void expected_risk(const py::array &signal, const py::array &eigenvalues, const py::object &b0,
                   const py::array &noise_variance, const py::array &times, double rtol, int depth,
                   bool separate, const py::array &out, int workers) {
  with_float_type(signal, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(signal, eigenvalues, b0);
    const auto variance = matrix_of<const T>(noise_variance, "noise_variance");
    const auto t = vector_of<const double>(times, "times");
    const auto risk = matrix_of<double>(out, "out");
    const py::gil_scoped_release release;
    flow::expected_risk(options_of(depth, separate, workers), in, variance, t, rtol, risk);
  });
}

void hitting_time(const py::array &z, const py::array &eigenvalues, const py::object &b0,
                  const py::array &fractions, int depth, bool separate, const py::array &out,
                  int workers) {
  with_float_type(z, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(z, eigenvalues, b0);
    const auto f = vector_of<const double>(fractions, "fraction");
    auto *times = result_of<double>(out, "out", f.size * in.z.rows * in.z.cols);
    const py::gil_scoped_release release;
    flow::hitting_time(options_of(depth, separate, workers), in, f, times);
  });
}

void descend(const py::array &z, const py::array &eigenvalues, const py::object &b0,
             double step_size, index n_steps, const std::vector<index> &record, int depth,
             bool separate, const py::dict &out, int workers) {
  with_float_type(z, [&](auto zero) {
    using T = decltype(zero);
    const auto in = coordinates_of<T>(z, eigenvalues, b0);
    const vector_view<const index> steps{record.data(), static_cast<index>(record.size()), 1};
    const auto fields = fields_of<T>(out, steps.size * in.z.rows * in.z.cols);
    const py::gil_scoped_release release;
    flow::descend(options_of(depth, separate, workers), in, step_size, n_steps, steps, fields);
  });
}

} // namespace

void register_flow(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.flow.";
  m.def("evolve", &evolve, py::arg("z"), py::arg("eigenvalues"), py::arg("b0"), py::arg("times"),
        py::arg("depth"), py::arg("separate"), py::arg("out"), py::arg("workers"),
        py::arg("check") = "none");
  m.def("vanilla", &vanilla, py::arg("z"), py::arg("eigenvalues"), py::arg("times"), py::arg("out"),
        py::arg("workers"));
  m.def("learned_eigenvalues", &learned_eigenvalues, py::arg("theta"), py::arg("eigenvalues"),
        py::arg("b0"), py::arg("depth"), py::arg("separate"), py::arg("out"), py::arg("workers"));
  m.def("link", &link, py::arg("v"), py::arg("eigenvalues"), py::arg("b0"), py::arg("depth"),
        py::arg("separate"), py::arg("out"), py::arg("workers"));
  m.def("sure", &sure, py::arg("z"), py::arg("eigenvalues"), py::arg("b0"),
        py::arg("noise_variance"), py::arg("times"), py::arg("depth"), py::arg("separate"),
        py::arg("out"), py::arg("workers"));
  m.def("expected_risk", &expected_risk, py::arg("signal"), py::arg("eigenvalues"), py::arg("b0"),
        py::arg("noise_variance"), py::arg("times"), py::arg("rtol"), py::arg("depth"),
        py::arg("separate"), py::arg("out"), py::arg("workers"));
  m.def("hitting_time", &hitting_time, py::arg("z"), py::arg("eigenvalues"), py::arg("b0"),
        py::arg("fractions"), py::arg("depth"), py::arg("separate"), py::arg("out"),
        py::arg("workers"));
  m.def("descend", &descend, py::arg("z"), py::arg("eigenvalues"), py::arg("b0"),
        py::arg("step_size"), py::arg("n_steps"), py::arg("record"), py::arg("depth"),
        py::arg("separate"), py::arg("out"), py::arg("workers"));
}

} // namespace eigenflow::bindings
