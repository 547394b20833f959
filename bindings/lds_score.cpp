// SPDX-License-Identifier: BSD-3-Clause
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/lds_score.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace eigenflow::bindings {
namespace {

matrix_view<const double> matrix_at(const py::tuple &t, std::size_t i) {
  return matrix_of<const double>(py::array(t[i]), "system");
}

vector_view<const double> vector_at(const py::tuple &t, std::size_t i) {
  return vector_of<const double>(py::array(t[i]), "system");
}

std::vector<double> packed(const matrix_view<const double> m) {
  std::vector<double> out;
  for (index i = 0; i < m.rows; ++i)
    for (index j = 0; j < m.cols; ++j)
      out.push_back(m(i, j));
  return out;
}

py::array_t<double> array_of(const std::vector<double> &values, std::vector<py::ssize_t> shape) {
  py::array_t<double> out(std::move(shape));
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

// The system is (A, C, Q, R, c, d), the start (mean, cov, diffuse).
py::dict score(const py::tuple &system, const py::tuple &start, const py::array &y) {
  require(system.size() == 6 && start.size() == 3, "system: want 6 arrays, and 3 of the start");
  const lds::model model{.transition = matrix_at(system, 0),
                         .observation = matrix_at(system, 1),
                         .state_noise = matrix_at(system, 2),
                         .obs_noise = matrix_at(system, 3),
                         .state_offset = vector_at(system, 4),
                         .obs_offset = vector_at(system, 5)};
  const auto mean = vector_at(start, 0);
  const auto diffuse = matrix_at(start, 2);
  const lds::belief belief{packed({mean.data, mean.size, 1, mean.stride, 1}),
                           packed(matrix_at(start, 1)), packed(diffuse), diffuse.cols};
  const auto view = matrix_of<const double>(y, "y");
  lds::score_result r;
  {
    const py::gil_scoped_release release;
    r = lds::score(model, belief, view);
  }
  const index n = model.transition.rows, p = model.observation.rows, k = belief.n_diffuse;
  py::dict d;
  d["log_likelihood"] = r.log_likelihood;
  d["n_observed"] = r.n_observed;
  d["A"] = array_of(r.transition, {n, n});
  d["C"] = array_of(r.observation, {p, n});
  d["Q"] = array_of(r.state_noise, {n, n});
  d["R"] = array_of(r.obs_noise, {p, p});
  d["state_offset"] = array_of(r.state_offset, {n});
  d["obs_offset"] = array_of(r.obs_offset, {p});
  d["mean0"] = array_of(r.mean, {n});
  d["cov0"] = array_of(r.cov, {n, n});
  d["diffuse_directions"] = array_of(r.diffuse, {n, k});
  d["second_moment"] = array_of(r.second_moment, {n, n});
  d["last_moment"] = array_of(r.last_moment, {n, n});
  return d;
}

} // namespace

void register_lds_score(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.lds.score.";
  m.def("score", &score, py::arg("system"), py::arg("start"), py::arg("y"));
}

} // namespace eigenflow::bindings
