// SPDX-License-Identifier: BSD-3-Clause
#include "svd_operators.hpp"

#include <eigenflow/interpolative.hpp>

#include <utility>

namespace eigenflow::bindings {
namespace {

// With coefficients, or with Q and R.
template <class T>
py::dict to_dict(interpolative::pivoted_qr_result<T> &&out, bool interpolate, index rows,
                 index cols) {
  static constexpr const char *routes[] = {"sketch", "exact"};
  py::dict fields;
  if (interpolate) {
    fields["coefficients"] =
        owned(interpolative::coefficients(out, rows, cols), out.rank, cols, true);
  } else {
    fields["Q"] = owned(std::move(out.q), rows, out.rank, false);
    fields["R"] = owned(std::move(out.r), out.rank, cols, true);
  }
  fields["pivots"] = owned(std::move(out.pivots));
  fields["rank"] = out.rank;
  fields["norm"] = out.norm;
  fields["looks"] = out.looks;
  fields["error"] = out.error;
  fields["error_kind"] = name_of(out.kind);
  fields["method"] = routes[static_cast<int>(out.route)];
  fields["passes"] = out.passes;
  return fields;
}

py::dict pivoted_qr(const operator_handle &a, index rank, double tolerance,
                    double relative_tolerance, index oversampling, bool interpolate,
                    std::uint64_t key, int workers) {
  return std::visit(
      [&]<class T>(const std::shared_ptr<svd::linear_operator<T>> &op) {
        const interpolative::options options{.rank = rank,
                                             .tolerance = tolerance,
                                             .relative_tolerance = relative_tolerance,
                                             .oversampling = oversampling,
                                             .key = key,
                                             .workers = workers};
        interpolative::pivoted_qr_result<T> out;
        {
          const py::gil_scoped_release release;
          out = interpolative::pivoted_qr<T>(*op, options);
        }
        return to_dict(std::move(out), interpolate, op->rows(), op->cols());
      },
      a.held);
}

} // namespace

void register_interpolative(py::module_ &m) {
  m.def("pivoted_qr", &pivoted_qr, py::arg("A"), py::arg("rank"), py::arg("tolerance"),
        py::arg("relative_tolerance"), py::arg("oversampling"), py::arg("interpolate"),
        py::arg("key"), py::arg("workers"));
}

} // namespace eigenflow::bindings
