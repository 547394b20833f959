// SPDX-License-Identifier: BSD-3-Clause
#include "lds_arrays.hpp"
#include "modules.hpp"

#include <eigenflow/lds_score.hpp>

#include <utility>

namespace eigenflow::bindings {
namespace {

using field = std::vector<double> lds::score_result::*;

// Members in the order of the parts of a system_stack.
constexpr std::array<std::pair<const char *, field>, 9> matrices{{
    {"A", &lds::score_result::transition},
    {"C", &lds::score_result::observation},
    {"Q", &lds::score_result::state_noise},
    {"R", &lds::score_result::obs_noise},
    {"cross_cov", &lds::score_result::cross_noise},
    {"B", &lds::score_result::state_input},
    {"D", &lds::score_result::obs_input},
    {"state_offset", &lds::score_result::state_offset},
    {"obs_offset", &lds::score_result::obs_offset},
}};

// Rows of results of equal size, one a series.
py::array_t<double> stacked(const std::vector<lds::score_result> &results, field which,
                            const std::vector<py::ssize_t> &shape) {
  std::vector<py::ssize_t> full{static_cast<py::ssize_t>(results.size())};
  full.insert(full.end(), shape.begin(), shape.end());
  py::array_t<double> out(full);
  double *to = out.mutable_data();
  for (const auto &r : results)
    to = std::copy((r.*which).begin(), (r.*which).end(), to);
  return out;
}

// With the columns of zeros that pad the directions.
py::array_t<double> diffuse_of(const std::vector<lds::score_result> &results,
                               const start_stack &starts, index n) {
  const index width = starts.width();
  py::array_t<double> out({static_cast<py::ssize_t>(results.size()), static_cast<py::ssize_t>(n),
                           static_cast<py::ssize_t>(width)});
  double *to = out.mutable_data();
  std::fill_n(to, out.size(), 0.0);
  for (std::size_t s = 0; s < results.size(); ++s, to += n * width) {
    const auto used = starts.columns(static_cast<index>(s));
    const auto k = static_cast<index>(used.size());
    for (index i = 0; i < n; ++i)
      for (index j = 0; j < k; ++j)
        to[i * width + used[static_cast<std::size_t>(j)]] =
            results[s].diffuse[static_cast<std::size_t>(i * k + j)];
  }
  return out;
}

py::dict score(const py::tuple &system, const py::tuple &start, const py::object &y,
               const py::object &inputs, int workers, bool moments, const py::object &progress,
               const py::tuple &batch_shape) {
  const system_stack systems(system);
  const start_stack starts(start);
  const series_stack<const double> rows(y, "y"), known(inputs, "inputs");
  systems.require_batch(rows.n_series, rows.first.rows);
  starts.require_batch(rows.n_series);
  known.require_batch(rows.n_series);
  std::vector<lds::score_result> results(static_cast<std::size_t>(rows.n_series));
  lds::score_batch batch;
  batch.n_series = rows.n_series;
  batch.at = [&](index i) -> lds::problem {
    return {systems.at(i), starts.at(i), {rows.at(i), known.at(i)}, {}};
  };
  batch.done = [&](index i, lds::score_result &&r) {
    results[static_cast<std::size_t>(i)] = std::move(r);
  };
  batch.progress = hook_of(progress);
  try {
    const py::gil_scoped_release release;
    lds::score(batch, workers, moments);
  } catch (const lds::series_error &error) {
    refuse_series(error, batch_shape);
  }
  py::dict d;
  py::array_t<double> log_likelihood(rows.n_series);
  py::array_t<index> n_observed(rows.n_series);
  for (std::size_t i = 0; i < results.size(); ++i) {
    log_likelihood.mutable_data()[i] = results[i].log_likelihood;
    n_observed.mutable_data()[i] = results[i].n_observed;
  }
  d["log_likelihood"] = log_likelihood;
  d["n_observed"] = n_observed;
  const index n = systems.state_dim();
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    const matrix_stack &m = systems.part(i);
    if (m.first.rows > 0)
      d[matrices[i].first] =
          stacked(results, matrices[i].second,
                  {m.time_stride != 0 ? rows.first.rows : 1, m.first.rows, m.first.cols});
  }
  d["mean0"] = stacked(results, &lds::score_result::mean, {n});
  d["cov0"] = stacked(results, &lds::score_result::cov, {n, n});
  d["diffuse_directions"] = diffuse_of(results, starts, n);
  if (moments) {
    d["second_moment"] = stacked(results, &lds::score_result::second_moment, {n, n});
    d["last_moment"] = stacked(results, &lds::score_result::last_moment, {n, n});
  }
  return d;
}

} // namespace

void register_lds_score(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.lds.score.";
  m.def("score", &score, py::arg("system"), py::arg("start"), py::arg("y"), py::arg("inputs"),
        py::arg("workers"), py::arg("moments"), py::arg("progress"), py::arg("batch_shape"));
}

} // namespace eigenflow::bindings
