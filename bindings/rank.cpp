// SPDX-License-Identifier: BSD-3-Clause
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/rank.hpp>

#include <pybind11/stl.h>

#include <algorithm>
#include <tuple>

namespace eigenflow::bindings {
namespace {

using choice = std::tuple<index, bool, double>;

choice tuple_of(const rank::choice &found) {
  return {found.rank, found.reached, found.tail_squared};
}

rank::spectrum spectrum_of(const py::array &s, index size, double total_squared, double precision) {
  return {vector_of<const double>(s, "s"), size, total_squared, precision};
}

choice energy(const py::array &s, index size, double total_squared, double precision,
              double share) {
  return tuple_of(rank::energy_rank(spectrum_of(s, size, total_squared, precision), share));
}

choice frobenius(const py::array &s, index size, double total_squared, double precision,
                 double rtol, double atol) {
  return tuple_of(rank::frobenius_rank(spectrum_of(s, size, total_squared, precision), rtol, atol));
}

choice gavish_donoho(const py::array &s, index rows, index cols, double noise_std) {
  const rank::spectrum values{vector_of<const double>(s, "s"), std::min(rows, cols)};
  return tuple_of(rank::gavish_donoho_rank(values, rows, cols, noise_std));
}

// The columns of `table` are importance, total_squared, cost, min_rank, max_rank, dense_cost; the
// values of layer l are s[ends[l - 1]:ends[l]].
std::vector<rank::layer> layers_of(const py::array &s, const std::vector<index> &ends,
                                   const py::array &table) {
  const auto values = vector_of<const double>(s, "s");
  const auto columns = matrix_of<const double>(table, "table");
  require(columns.rows == static_cast<index>(ends.size()) && columns.cols == 6,
          "table: want one row of six numbers a layer");
  std::vector<rank::layer> layers;
  index begin = 0;
  for (const index end : ends) {
    require(begin <= end && end <= values.size, "ends: must ascend within s");
    const auto row = columns.row(static_cast<index>(layers.size()));
    layers.push_back({values.slice(begin, end), row[0], row[1], row[2], static_cast<index>(row[3]),
                      static_cast<index>(row[4]), row[5]});
    begin = end;
  }
  return layers;
}

py::tuple tuple_of(const rank::allocation &found) {
  return py::make_tuple(found.ranks, found.dense, found.cost, found.kept_share,
                        found.kept_share_bound, found.cut_layer);
}

py::tuple allocate_by_share(const py::array &s, const std::vector<index> &ends,
                            const py::array &table, double share, double budget,
                            index multiple_of) {
  const auto layers = layers_of(s, ends, table);
  const auto solve = [&] {
    const py::gil_scoped_release release;
    return rank::allocate_by_share(layers, {share, budget, multiple_of});
  };
  return tuple_of(solve());
}

py::tuple allocate_by_budget(const py::array &s, const std::vector<index> &ends,
                             const py::array &table, double budget, index multiple_of) {
  const auto layers = layers_of(s, ends, table);
  const auto solve = [&] {
    const py::gil_scoped_release release;
    return rank::allocate_by_budget(layers, budget, multiple_of);
  };
  return tuple_of(solve());
}

} // namespace

void register_rank(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.lowrank: rank rules and allocation.";
  m.def("energy", &energy, py::arg("s"), py::arg("size"), py::arg("total_squared"),
        py::arg("precision"), py::arg("share"));
  m.def("frobenius", &frobenius, py::arg("s"), py::arg("size"), py::arg("total_squared"),
        py::arg("precision"), py::arg("rtol"), py::arg("atol"));
  m.def("gavish_donoho", &gavish_donoho, py::arg("s"), py::arg("rows"), py::arg("cols"),
        py::arg("noise_std"));
  m.def("gavish_donoho_lambda", &rank::gavish_donoho_lambda, py::arg("beta"));
  m.def("gavish_donoho_omega", &rank::gavish_donoho_omega, py::arg("beta"));
  m.def("marchenko_pastur_median", &rank::marchenko_pastur_median, py::arg("beta"));
  m.def("allocate_by_share", &allocate_by_share, py::arg("s"), py::arg("ends"), py::arg("table"),
        py::arg("share"), py::arg("budget"), py::arg("multiple_of"));
  m.def("allocate_by_budget", &allocate_by_budget, py::arg("s"), py::arg("ends"), py::arg("table"),
        py::arg("budget"), py::arg("multiple_of"));
}

} // namespace eigenflow::bindings
