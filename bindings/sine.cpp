// SPDX-License-Identifier: BSD-3-Clause
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/sine.hpp>

#include <pybind11/stl.h>

namespace eigenflow::bindings {
namespace {

py::tuple phase_accuracy(const py::array &U, const py::array &V, double omega, bool exact_phase) {
  return with_float_type(U, [&](auto zero) {
    using real = decltype(zero);
    const auto u = matrix_of<const real>(U, "U"), v = matrix_of<const real>(V, "V");
    sine::accuracy result;
    {
      const py::gil_scoped_release release;
      result = sine::phase_accuracy<real>(u, v, {.omega = omega, .exact_phase = exact_phase});
    }
    return py::make_tuple(result.max_half_turns, result.error_bound, result.overflows);
  });
}

// Calls `function` with the four matrices of a product, without the GIL.
template <class Function>
void with_product(const py::array &U, const py::array &V, const py::array &X, const py::array &out,
                  Function &&function) {
  with_float_type(U, [&](auto zero) {
    using real = decltype(zero);
    const auto u = matrix_of<const real>(U, "U"), v = matrix_of<const real>(V, "V");
    const auto x = matrix_of<const real>(X, "X");
    const auto y = matrix_of<real>(out, "out");
    const py::gil_scoped_release release;
    function(u, v, x, y);
  });
}

void apply(const py::array &U, const py::array &V, const py::array &X, const py::array &out,
           double omega, double gain, bool exact_phase, bool transposed, int workers) {
  const sine::options opts{omega, gain, exact_phase, workers};
  with_product(U, V, X, out, [&](auto u, auto v, auto x, auto y) {
    transposed ? sine::apply_transposed(u, v, x, y, opts) : sine::apply(u, v, x, y, opts);
  });
}

sine::packed_factor packed_of(const char *name, const py::array &codes, const py::array &table,
                              index rows, index cols, int bits) {
  const auto bytes = vector_of<const std::uint8_t>(codes, name);
  const auto values = vector_of<const float>(table, name);
  require(rows >= 0 && cols >= 0 && bits >= 1 && bits <= 8,
          std::string(name) + ": want sizes of at least 0 and 1 to 8 bits");
  require((bytes.stride == 1 || bytes.size == 0) && values.stride == 1,
          std::string(name) + ": want contiguous arrays");
  require(values.size == (index{1} << bits) && bytes.size >= (rows * cols * bits + 7) / 8,
          std::string(name) + ": too few codes or values");
  return {bytes.data, values.data, rows, cols, bits};
}

void apply_packed(const py::tuple &U, const py::tuple &V, const py::array &X, const py::array &out,
                  double omega, double gain, bool transposed, int workers) {
  const auto packed = [](const char *name, const py::tuple &a) {
    return packed_of(name, a[0].cast<py::array>(), a[1].cast<py::array>(), a[2].cast<index>(),
                     a[3].cast<index>(), a[4].cast<int>());
  };
  const auto u = packed("U", U), v = packed("V", V);
  with_float_type(X, [&](auto zero) {
    using real = decltype(zero);
    const auto x = matrix_of<const real>(X, "X");
    const auto y = matrix_of<real>(out, "out");
    const sine::options opts{.omega = omega, .gain = gain, .workers = workers};
    const py::gil_scoped_release release;
    transposed ? sine::apply_transposed<real>(u, v, x, y, opts)
               : sine::apply<real>(u, v, x, y, opts);
  });
}

void entries(const py::array &U, const py::array &V, const py::array &out, double omega,
             double gain, bool exact_phase, int workers) {
  with_float_type(U, [&](auto zero) {
    using real = decltype(zero);
    const auto u = matrix_of<const real>(U, "U"), v = matrix_of<const real>(V, "V");
    const auto to = matrix_of<real>(out, "out");
    const py::gil_scoped_release release;
    sine::entries<real>(u, v, to, {omega, gain, exact_phase, workers});
  });
}

// A view of an optional array, without data for None.
template <class T> matrix_view<T> matrix_or_none(const py::object &a, const char *name) {
  return a.is_none() ? matrix_view<T>{} : matrix_of<T>(py::cast<py::array>(a), name);
}

py::tuple vjp(const py::array &U, const py::array &V, const py::array &X,
              const py::array &grad_output, const py::object &grad_U, const py::object &grad_V,
              const py::object &grad_X, double omega, double gain, bool exact_phase,
              bool scale_right, int workers) {
  const auto result = with_float_type(U, [&](auto zero) {
    using real = decltype(zero);
    const auto u = matrix_of<const real>(U, "U"), v = matrix_of<const real>(V, "V");
    const auto x = matrix_of<const real>(X, "X");
    const auto y = matrix_of<const real>(grad_output, "grad_output");
    const sine::gradient_views<real> out{matrix_or_none<real>(grad_U, "grad_U"),
                                         matrix_or_none<real>(grad_V, "grad_V"),
                                         matrix_or_none<real>(grad_X, "grad_X")};
    const py::gil_scoped_release release;
    return sine::vjp<real>(u, v, x, y, out, {omega, gain, exact_phase, workers, scale_right});
  });
  return py::make_tuple(result.omega, result.gain);
}

py::tuple residual_gradients(const py::array &U, const py::array &V, const py::array &W,
                             const py::array &grad_U, const py::array &grad_V, double omega,
                             double gain, int workers) {
  const auto result = with_float_type(U, [&](auto zero) {
    using real = decltype(zero);
    const auto u = matrix_of<const real>(U, "U"), v = matrix_of<const real>(V, "V");
    const auto w = matrix_of<const real>(W, "W");
    const sine::gradient_views<real> out{
        matrix_of<real>(grad_U, "grad_U"), matrix_of<real>(grad_V, "grad_V"), {}};
    const py::gil_scoped_release release;
    return sine::residual_gradients<real>(u, v, w, out, {omega, gain, false, workers});
  });
  return py::make_tuple(result.loss, result.gradients.omega, result.gradients.gain);
}

void jvp(const py::array &U, const py::array &V, const py::array &X, const py::object &dU,
         const py::object &dV, const py::object &dX, double domega, double dgain,
         const py::array &out, double omega, double gain, bool exact_phase, bool scale_right,
         int workers) {
  with_float_type(U, [&](auto zero) {
    using real = decltype(zero);
    const auto u = matrix_of<const real>(U, "U"), v = matrix_of<const real>(V, "V");
    const auto x = matrix_of<const real>(X, "X");
    const sine::tangents<real> along{matrix_or_none<const real>(dU, "dU"),
                                     matrix_or_none<const real>(dV, "dV"),
                                     matrix_or_none<const real>(dX, "dX"), domega, dgain};
    const auto y = matrix_of<real>(out, "out");
    const py::gil_scoped_release release;
    sine::jvp<real>(u, v, x, along, y, {omega, gain, exact_phase, workers, scale_right});
  });
}

void apply_anchors(const py::array &U, const py::array &V, const py::array &X, const py::array &out,
                   const std::vector<index> &counts, const std::vector<double> &half_widths,
                   double omega, double gain, int workers) {
  with_product(U, V, X, out, [&](auto u, auto v, auto x, auto y) {
    sine::apply_anchors(u, v, x, y, {counts, half_widths},
                        {.omega = omega, .gain = gain, .workers = workers});
  });
}

void apply_taylor(const py::array &U, const py::array &V, const py::array &X, const py::array &out,
                  index order, double omega, double gain, int workers) {
  with_product(U, V, X, out, [&](auto u, auto v, auto x, auto y) {
    sine::apply_taylor(u, v, x, y, order, {.omega = omega, .gain = gain, .workers = workers});
  });
}

void sincospi(const py::array &t, const py::array &sine_out, const py::array &cosine_out) {
  with_float_type(t, [&](auto zero) {
    using real = decltype(zero);
    sine::sincospi<real>(vector_of<const real>(t, "t"), vector_of<real>(sine_out, "sine"),
                         vector_of<real>(cosine_out, "cosine"));
  });
}

double register_loop(index depth, index n_rhs, index n, bool twice) {
  const py::gil_scoped_release release;
  return twice ? sine::register_loop<double>(depth, n_rhs, n)
               : sine::register_loop<float>(depth, n_rhs, n);
}

} // namespace

void register_sine(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.sine.";
  m.def("phase_accuracy", &phase_accuracy, py::arg("U"), py::arg("V"), py::arg("omega"),
        py::arg("exact_phase"));
  m.def("apply", &apply, py::arg("U"), py::arg("V"), py::arg("X"), py::arg("out"), py::arg("omega"),
        py::arg("gain"), py::arg("exact_phase"), py::arg("transposed"), py::arg("workers"));
  m.def("apply_packed", &apply_packed, py::arg("U"), py::arg("V"), py::arg("X"), py::arg("out"),
        py::arg("omega"), py::arg("gain"), py::arg("transposed"), py::arg("workers"));
  m.def("entries", &entries, py::arg("U"), py::arg("V"), py::arg("out"), py::arg("omega"),
        py::arg("gain"), py::arg("exact_phase"), py::arg("workers"));
  m.def("vjp", &vjp, py::arg("U"), py::arg("V"), py::arg("X"), py::arg("grad_output"),
        py::arg("grad_U"), py::arg("grad_V"), py::arg("grad_X"), py::arg("omega"), py::arg("gain"),
        py::arg("exact_phase"), py::arg("scale_right"), py::arg("workers"));
  m.def("residual_gradients", &residual_gradients, py::arg("U"), py::arg("V"), py::arg("W"),
        py::arg("grad_U"), py::arg("grad_V"), py::arg("omega"), py::arg("gain"),
        py::arg("workers"));
  m.def("jvp", &jvp, py::arg("U"), py::arg("V"), py::arg("X"), py::arg("dU"), py::arg("dV"),
        py::arg("dX"), py::arg("domega"), py::arg("dgain"), py::arg("out"), py::arg("omega"),
        py::arg("gain"), py::arg("exact_phase"), py::arg("scale_right"), py::arg("workers"));
  m.def("apply_anchors", &apply_anchors, py::arg("U"), py::arg("V"), py::arg("X"), py::arg("out"),
        py::arg("counts"), py::arg("half_widths"), py::arg("omega"), py::arg("gain"),
        py::arg("workers"));
  m.def("apply_taylor", &apply_taylor, py::arg("U"), py::arg("V"), py::arg("X"), py::arg("out"),
        py::arg("order"), py::arg("omega"), py::arg("gain"), py::arg("workers"));
  m.def("register_loop", &register_loop, py::arg("depth"), py::arg("n_rhs"), py::arg("n"),
        py::arg("twice") = false);
  m.def("sincospi", &sincospi, py::arg("t"), py::arg("sine"), py::arg("cosine"));
}

} // namespace eigenflow::bindings
