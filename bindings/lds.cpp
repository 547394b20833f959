// SPDX-License-Identifier: BSD-3-Clause
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/lds.hpp>

#include <algorithm>

namespace eigenflow::bindings {
namespace {

// (A, C, Q, R, c, d), as the Python side packs a system.
lds::model model_of(const py::tuple &t) {
  require(t.size() == 6, "system: want 6 arrays");
  const auto at = [&](std::size_t i) { return py::array(t[i]); };
  return {matrix_of<const double>(at(0), "A"),
          matrix_of<const double>(at(1), "C"),
          matrix_of<const double>(at(2), "Q"),
          matrix_of<const double>(at(3), "R"),
          vector_of<const double>(at(4), "state_offset"),
          vector_of<const double>(at(5), "obs_offset")};
}

std::vector<double> packed(const matrix_view<const double> m) {
  std::vector<double> out;
  for (index i = 0; i < m.rows; ++i)
    for (index j = 0; j < m.cols; ++j)
      out.push_back(m(i, j));
  return out;
}

// (mean, cov, diffuse).
lds::belief belief_of(const py::tuple &t) {
  require(t.size() == 3, "start: want 3 arrays");
  const auto mean = vector_of<const double>(py::array(t[0]), "mean");
  const auto diffuse = matrix_of<const double>(py::array(t[2]), "diffuse");
  lds::belief b;
  b.mean = packed({mean.data, mean.size, 1, mean.stride, 1});
  b.cov = packed(matrix_of<const double>(py::array(t[1]), "cov"));
  b.diffuse = packed(diffuse);
  b.n_diffuse = diffuse.cols;
  return b;
}

py::array_t<double> array_of(const std::vector<double> &values, std::vector<py::ssize_t> shape) {
  py::array_t<double> out(std::move(shape));
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

py::tuple tuple_of(const lds::belief &b) {
  const auto n = static_cast<py::ssize_t>(b.mean.size());
  return py::make_tuple(array_of(b.mean, {n}), array_of(b.cov, {n, n}),
                        array_of(b.diffuse, {n, static_cast<py::ssize_t>(b.n_diffuse)}));
}

py::object sequence_of(bool wanted, const lds::covariance_sequence &s, py::ssize_t size) {
  if (!wanted)
    return py::none();
  const auto n_values = static_cast<py::ssize_t>(s.values.size()) / (size * size);
  py::array_t<std::int32_t> places(static_cast<py::ssize_t>(s.index.size()));
  std::copy(s.index.begin(), s.index.end(), places.mutable_data());
  return py::make_tuple(array_of(s.values, {n_values, size, size}), places);
}

matrix_view<double> output_matrix(const py::object &a, const char *name) {
  return a.is_none() ? matrix_view<double>{} : matrix_of<double>(py::array(a), name);
}

vector_view<double> output_vector(const py::object &a, const char *name) {
  return a.is_none() ? vector_view<double>{} : vector_of<double>(py::array(a), name);
}

// (filtered_mean, predicted_mean, innovations, log_likelihood_terms); None is not written.
lds::filter_outputs outputs_of(const py::tuple &means) {
  require(means.size() == 4, "means: want 4 arrays or None");
  return {output_matrix(means[0], "filtered_mean"), output_matrix(means[1], "predicted_mean"),
          output_matrix(means[2], "innovations"), output_vector(means[3], "log_likelihood_terms")};
}

template <class Options>
void set_common(Options &options, bool switch_to_steady, bool check_finite, int workers) {
  options.switch_to_steady = switch_to_steady;
  options.check_finite = check_finite;
  options.workers = workers;
}

template <class Result> py::dict summary_of(const Result &result) {
  py::dict d;
  d["log_likelihood"] = result.log_likelihood;
  d["n_diffuse"] = result.n_diffuse;
  d["steady_from"] = result.steady_from;
  return d;
}

py::dict filter(const py::tuple &system, const py::tuple &start, const py::array &y,
                const py::tuple &means, const py::tuple &covs, bool switch_to_steady,
                bool check_finite, int workers) {
  const lds::model model = model_of(system);
  const lds::belief belief = belief_of(start);
  const auto view = matrix_of<const double>(y, "y");
  const lds::filter_outputs out = outputs_of(means);
  lds::filter_options options;
  options.store_filtered_cov = py::cast<bool>(covs[0]);
  options.store_predicted_cov = py::cast<bool>(covs[1]);
  options.store_innovation_cov = py::cast<bool>(covs[2]);
  set_common(options, switch_to_steady, check_finite, workers);
  lds::filter_result result;
  {
    const py::gil_scoped_release release;
    result = lds::filter(model, belief, view, out, options);
  }
  const index n = model.transition.rows, p = model.observation.rows;
  py::dict d = summary_of(result);
  d["error_bound"] = result.error_bound;
  d["final_state"] = tuple_of(result.final_state);
  d["filtered_cov"] = sequence_of(options.store_filtered_cov, result.filtered_cov, n);
  d["predicted_cov"] = sequence_of(options.store_predicted_cov, result.predicted_cov, n);
  d["innovation_cov"] = sequence_of(options.store_innovation_cov, result.innovation_cov, p);
  return d;
}

py::dict smooth(const py::tuple &system, const py::tuple &start, const py::array &y,
                const py::object &smoothed_mean, bool store_cov, bool switch_to_steady,
                bool check_finite, int workers) {
  const lds::model model = model_of(system);
  const lds::belief belief = belief_of(start);
  const auto view = matrix_of<const double>(y, "y");
  const auto out = output_matrix(smoothed_mean, "smoothed_mean");
  lds::smoother_options options;
  options.store_cov = store_cov;
  set_common(options, switch_to_steady, check_finite, workers);
  lds::smoother_result result;
  {
    const py::gil_scoped_release release;
    result = lds::smooth(model, belief, view, out, options);
  }
  py::dict d = summary_of(result);
  d["smoothed_cov"] = sequence_of(store_cov, result.smoothed_cov, model.transition.rows);
  return d;
}

py::tuple steady_state(const py::tuple &system) {
  const lds::model model = model_of(system);
  lds::steady_result r;
  {
    const py::gil_scoped_release release;
    r = lds::steady_state(model);
  }
  const index n = model.transition.rows, p = model.observation.rows;
  return py::make_tuple(array_of(r.predicted_cov, {n, n}), array_of(r.gain, {n, p}),
                        array_of(r.innovation_cov, {p, p}), r.spectral_radius, r.residual);
}

void propagate(const py::array &transition, const py::array &offset, const py::array &states) {
  const auto a = matrix_of<const double>(transition, "transition");
  const auto c = vector_of<const double>(offset, "offset");
  const auto x = matrix_of<double>(states, "states");
  const py::gil_scoped_release release;
  lds::propagate(a, c, x);
}

} // namespace

void register_lds(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.lds.";
  m.def("filter", &filter, py::arg("system"), py::arg("start"), py::arg("y"), py::arg("means"),
        py::arg("covs"), py::arg("switch_to_steady"), py::arg("check_finite"), py::arg("workers"));
  m.def("smooth", &smooth, py::arg("system"), py::arg("start"), py::arg("y"),
        py::arg("smoothed_mean"), py::arg("store_cov"), py::arg("switch_to_steady"),
        py::arg("check_finite"), py::arg("workers"));
  m.def("steady_state", &steady_state, py::arg("system"));
  m.def("propagate", &propagate, py::arg("transition"), py::arg("offset"), py::arg("states"));
}

} // namespace eigenflow::bindings
