// SPDX-License-Identifier: BSD-3-Clause
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/svd.hpp>

#include <utility>

namespace eigenflow::bindings {
namespace {

// The array owns the vector: nothing is copied. Packed columns; NumPy wants rows of V as Vh.
template <class T> py::array owned(std::vector<T> &&values, index rows, index cols, bool by_rows) {
  auto *held = new std::vector<T>(std::move(values));
  const py::capsule owner(held, [](void *p) { delete static_cast<std::vector<T> *>(p); });
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  const std::vector<py::ssize_t> strides = by_rows ? std::vector<py::ssize_t>{cols * size, size}
                                                   : std::vector<py::ssize_t>{size, rows * size};
  return py::array(py::dtype::of<T>(), {rows, cols}, strides, held->data(), owner);
}

template <class T> py::array owned(std::vector<T> &&values) {
  const index n = static_cast<index>(values.size());
  return owned(std::move(values), n, 1, false).reshape({n});
}

py::tuple measure(const py::array &a, int workers) {
  return with_float_type(a, [&](auto zero) {
    const auto view = matrix_of<const decltype(zero)>(a, "A");
    svd::magnitude size;
    {
      const py::gil_scoped_release release;
      size = svd::measure(view, workers);
    }
    return py::make_tuple(size.norm, size.scale, size.scaled_norm, size.finite);
  });
}

svd::magnitude magnitude_of(const py::tuple &size) {
  return {size[0].cast<double>(), size[1].cast<double>(), size[2].cast<double>(),
          size[3].cast<bool>()};
}

template <class T> py::dict to_dict(svd::result<T> &&out, index rows, index cols) {
  static constexpr const char *kinds[] = {"tail-energy", "hold-out"};
  static constexpr const char *routes[] = {"krylov", "subspace", "exact"};
  py::dict fields;
  fields["U"] = owned(std::move(out.u), rows, out.rank, false);
  fields["s"] = owned(std::move(out.s));
  fields["Vh"] = owned(std::move(out.v), out.rank, cols, true);
  fields["rank"] = out.rank;
  fields["error"] = out.error;
  fields["error_kind"] = kinds[static_cast<int>(out.kind)];
  fields["residuals"] = owned(std::move(out.residuals));
  fields["method"] = routes[static_cast<int>(out.route)];
  fields["passes"] = out.passes;
  return fields;
}

py::dict decompose(const py::array &a, const py::tuple &size, index rank, double tolerance,
                   index oversampling, int power_iterations, std::uint64_t key, int workers) {
  return with_float_type(a, [&](auto zero) {
    using T = decltype(zero);
    const auto view = matrix_of<const T>(a, "A");
    const svd::magnitude measured = magnitude_of(size);
    const svd::options options{rank, tolerance, oversampling, power_iterations, key, workers};
    svd::result<T> out;
    {
      const py::gil_scoped_release release;
      out = svd::decompose<T>(view, measured, options);
    }
    return to_dict(std::move(out), view.rows, view.cols);
  });
}

py::array range_finder(const py::array &a, const py::tuple &size, index n_columns,
                       int power_iterations, std::uint64_t key, int workers) {
  return with_float_type(a, [&](auto zero) {
    using T = decltype(zero);
    const auto view = matrix_of<const T>(a, "A");
    const svd::dense_operator<T> op(view, magnitude_of(size), workers);
    std::vector<T> q(static_cast<std::size_t>(view.rows * n_columns));
    {
      const py::gil_scoped_release release;
      svd::range_finder<T>(op, power_iterations, key, workers,
                           col_major(q.data(), view.rows, n_columns));
    }
    return owned(std::move(q), view.rows, n_columns, false);
  });
}

void orthonormalise(const py::array &q, const py::array &r) {
  with_float_type(q, [&](auto zero) {
    using T = decltype(zero);
    const auto columns = matrix_of<T>(q, "q");
    const auto factor = matrix_of<double>(r, "r");
    require(columns.row_stride == 1 && factor.row_stride == 1, "q, r: want Fortran order");
    const py::gil_scoped_release release;
    svd::orthonormalise<T>(columns, factor);
  });
}

double resolvable_tolerance(const py::array &a) {
  return with_float_type(a, [&](auto zero) {
    return svd::resolvable_tolerance<decltype(zero)>(a.shape(0), a.shape(1));
  });
}

} // namespace

void register_svd(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.lowrank: decomposition.";
  m.attr("hold_out_vectors") = svd::hold_out_vectors;
  m.def("measure", &measure, py::arg("A"), py::arg("workers"));
  m.def("decompose", &decompose, py::arg("A"), py::arg("size"), py::arg("rank"),
        py::arg("tolerance"), py::arg("oversampling"), py::arg("power_iterations"), py::arg("key"),
        py::arg("workers"));
  m.def("range_finder", &range_finder, py::arg("A"), py::arg("size"), py::arg("n_columns"),
        py::arg("power_iterations"), py::arg("key"), py::arg("workers"));
  m.def("orthonormalise", &orthonormalise, py::arg("q"), py::arg("r"));
  m.def("resolvable_tolerance", &resolvable_tolerance, py::arg("A"));
}

} // namespace eigenflow::bindings
