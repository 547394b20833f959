// SPDX-License-Identifier: BSD-3-Clause
#include "arrays.hpp"
#include "modules.hpp"
#include "ranks.hpp"
#include "svd_operators.hpp"

#include <eigenflow/svd.hpp>

#include <algorithm>
#include <utility>

namespace eigenflow::bindings {
namespace {

template <class T> py::dict to_dict(svd::result<T> &&out, index rows, index cols) {
  static constexpr const char *routes[] = {"krylov", "subspace", "exact", "one-pass"};
  py::dict fields;
  fields["U"] = owned(std::move(out.u), rows, out.rank, false);
  fields["s"] = owned(std::move(out.s));
  fields["Vh"] = owned(std::move(out.vh), out.rank, cols, true);
  fields["rank"] = out.rank;
  fields["norm"] = out.norm;
  fields["looks"] = out.looks;
  fields["error"] = out.error;
  fields["error_kind"] = name_of(out.kind);
  fields["residuals"] = owned(std::move(out.residuals));
  fields["method"] = routes[static_cast<int>(out.route)];
  fields["passes"] = out.passes;
  return fields;
}

py::dict decompose(const operator_handle &a, index rank, double tolerance,
                   double relative_tolerance, bool spectral, bool one_pass, index oversampling,
                   int power_iterations, std::uint64_t key, int workers) {
  return std::visit(
      [&]<class T>(const std::shared_ptr<svd::linear_operator<T>> &op) {
        const svd::options options{.rank = rank,
                                   .tolerance = tolerance,
                                   .relative_tolerance = relative_tolerance,
                                   .oversampling = oversampling,
                                   .power_iterations = power_iterations,
                                   .key = key,
                                   .workers = workers,
                                   .spectral = spectral,
                                   .one_pass = one_pass};
        svd::result<T> out;
        {
          const py::gil_scoped_release release;
          out = svd::decompose<T>(*op, options);
        }
        return to_dict(std::move(out), op->rows(), op->cols());
      },
      a.held);
}

// A block of the rows, each rank its own.
py::dict decompose_rows(const python_ranks &ranks, const py::array &a, index rank, double tolerance,
                        double relative_tolerance, bool spectral, index oversampling,
                        std::uint64_t key, int workers) {
  return with_scalar_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto block = matrix_of<const T>(a, "A");
    const svd::options options{.rank = rank,
                               .tolerance = tolerance,
                               .relative_tolerance = relative_tolerance,
                               .oversampling = oversampling,
                               .key = key,
                               .workers = workers,
                               .spectral = spectral};
    svd::result<T> out;
    {
      const py::gil_scoped_release release;
      out = svd::decompose<T>(block, options, static_cast<const rank_group &>(ranks));
    }
    return to_dict(std::move(out), block.rows, block.cols);
  });
}

py::array range_finder(const operator_handle &a, index n_columns, int power_iterations,
                       std::uint64_t key, int workers) {
  return std::visit(
      [&]<class T>(const std::shared_ptr<svd::linear_operator<T>> &op) {
        require(n_columns >= 0 && n_columns <= std::min(op->rows(), op->cols()),
                "size: want 0 to the smaller side of A");
        std::vector<T> q(static_cast<std::size_t>(op->rows() * n_columns));
        {
          const py::gil_scoped_release release;
          svd::range_finder<T>(*op, power_iterations, key, workers,
                               col_major(q.data(), op->rows(), n_columns));
        }
        return owned(std::move(q), op->rows(), n_columns, false);
      },
      a.held);
}

void orthonormalise(const py::array &q, const py::array &r) {
  with_scalar_type(q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto columns = matrix_of<T>(q, "q");
    const auto factor = matrix_of<wide_of<T>>(r, "r");
    require(columns.row_stride == 1 && factor.row_stride == 1, "q, r: want Fortran order");
    const py::gil_scoped_release release;
    svd::orthonormalise<T>(columns, factor);
  });
}

double resolvable_tolerance(const py::dtype &type, index rows, index cols) {
  return with_scalar_type(
      type, [&](auto zero) { return svd::resolvable_tolerance<decltype(zero)>(rows, cols); });
}

} // namespace

void register_svd(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.lowrank: decomposition.";
  m.attr("hold_out_vectors") = svd::hold_out_vectors;
  m.attr("bound_vectors") = svd::bound_vectors;
  register_svd_operators(m);
  register_svd_products(m);
  register_eigh(m);
  register_interpolative(m);
  m.def("decompose", &decompose, py::arg("A"), py::arg("rank"), py::arg("tolerance"),
        py::arg("relative_tolerance"), py::arg("spectral"), py::arg("one_pass"),
        py::arg("oversampling"), py::arg("power_iterations"), py::arg("key"), py::arg("workers"));
  m.def("decompose_rows", &decompose_rows, py::arg("ranks"), py::arg("A"), py::arg("rank"),
        py::arg("tolerance"), py::arg("relative_tolerance"), py::arg("spectral"),
        py::arg("oversampling"), py::arg("key"), py::arg("workers"));
  m.def("range_finder", &range_finder, py::arg("A"), py::arg("n_columns"),
        py::arg("power_iterations"), py::arg("key"), py::arg("workers"));
  m.def("orthonormalise", &orthonormalise, py::arg("q"), py::arg("r"));
  m.def("resolvable_tolerance", &resolvable_tolerance, py::arg("dtype"), py::arg("rows"),
        py::arg("cols"));
}

} // namespace eigenflow::bindings
