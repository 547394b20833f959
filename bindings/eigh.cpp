// SPDX-License-Identifier: BSD-3-Clause
#include "svd_operators.hpp"

#include <eigenflow/eigh.hpp>

#include <utility>

namespace eigenflow::bindings {
namespace {

template <class T> py::dict to_dict(eigh::result<T> &&out, index n) {
  static constexpr const char *routes[] = {"krylov", "nystrom", "exact"};
  py::dict fields;
  fields["eigenvalues"] = owned(std::move(out.values));
  fields["eigenvectors"] = owned(std::move(out.vectors), n, out.rank, false);
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
                   double relative_tolerance, bool positive, bool one_pass, index oversampling,
                   std::uint64_t key, int workers) {
  return std::visit(
      [&]<class T>(const std::shared_ptr<svd::linear_operator<T>> &op) {
        const eigh::options options{.rank = rank,
                                    .tolerance = tolerance,
                                    .relative_tolerance = relative_tolerance,
                                    .oversampling = oversampling,
                                    .key = key,
                                    .workers = workers,
                                    .positive = positive,
                                    .one_pass = one_pass};
        eigh::result<T> out;
        {
          const py::gil_scoped_release release;
          out = eigh::decompose<T>(*op, options);
        }
        return to_dict(std::move(out), op->rows());
      },
      a.held);
}

} // namespace

void register_eigh(py::module_ &m) {
  m.def("eigh", &decompose, py::arg("A"), py::arg("rank"), py::arg("tolerance"),
        py::arg("relative_tolerance"), py::arg("positive"), py::arg("one_pass"),
        py::arg("oversampling"), py::arg("key"), py::arg("workers"));
}

} // namespace eigenflow::bindings
