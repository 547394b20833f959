// SPDX-License-Identifier: BSD-3-Clause
#include "lds_arrays.hpp"
#include "modules.hpp"
#include "ranks.hpp"

#include <eigenflow/lds.hpp>

#include <algorithm>
#include <array>
#include <string>

namespace eigenflow::bindings {
namespace {

py::object sequence_of(bool wanted, const lds::covariance_sequence &s, py::ssize_t size) {
  if (!wanted)
    return py::none();
  const auto n_values = static_cast<py::ssize_t>(s.values.size()) / (size * size);
  py::array_t<std::int32_t> places(static_cast<py::ssize_t>(s.index.size()));
  std::copy(s.index.begin(), s.index.end(), places.mutable_data());
  return py::make_tuple(array_of(s.values, {n_values, size, size}), places);
}

lds::update_form form_of(const std::string &name) {
  if (name == "standard")
    return lds::update_form::standard;
  if (name == "joseph")
    return lds::update_form::joseph;
  return name == "array" ? lds::update_form::array : lds::update_form::automatic;
}

// (steady, form, check_finite, workers, progress).
template <class Options> Options options_of(const py::tuple &t) {
  Options options;
  options.switch_to_steady = py::cast<bool>(t[0]);
  options.form = form_of(py::cast<std::string>(t[1]));
  options.check_finite = py::cast<bool>(t[2]);
  options.workers = py::cast<int>(t[3]);
  options.progress = hook_of(py::reinterpret_borrow<py::object>(t[4]));
  return options;
}

template <class Result, class T>
py::array_t<T> each(const std::vector<Result> &results, T Result::*member) {
  py::array_t<T> out(static_cast<py::ssize_t>(results.size()));
  std::transform(results.begin(), results.end(), out.mutable_data(),
                 [member](const Result &r) { return r.*member; });
  return out;
}

template <class Result>
py::object sequences(bool wanted, const std::vector<Result> &results,
                     lds::covariance_sequence Result::*which, index size) {
  if (!wanted)
    return py::none();
  py::list out;
  for (const auto &r : results)
    out.append(sequence_of(true, r.*which, size));
  return out;
}

// A system as the Python side packs it, and what calls with the same one share.
class kept_system {
public:
  explicit kept_system(py::tuple arrays) : arrays_(std::move(arrays)), stack_(arrays_) {}
  const system_stack &stack() const { return stack_; }
  lds::steady_memory *memory() const { return &memory_; }

private:
  py::tuple arrays_; // whose memory the stack reads
  system_stack stack_;
  mutable lds::steady_memory memory_;
};

// One result for each series: numbers, final laws, and stored covariances.
class filter_collector {
public:
  filter_collector(index n_series, index n, index p, const lds::filter_options &options)
      : n_(n), p_(p), options_(options), results_(static_cast<std::size_t>(n_series)) {}
  void put(index i, lds::filter_result &&r) {
    results_[static_cast<std::size_t>(i)] = std::move(r);
  }
  py::dict summary() const {
    py::dict d;
    d["log_likelihood"] = each(results_, &lds::filter_result::log_likelihood);
    d["n_diffuse"] = each(results_, &lds::filter_result::n_diffuse);
    d["steady_from"] = each(results_, &lds::filter_result::steady_from);
    d["error_bound"] = each(results_, &lds::filter_result::error_bound);
    d["final_state"] = final_state();
    d["filtered_cov"] =
        sequences(options_.store_filtered_cov, results_, &lds::filter_result::filtered_cov, n_);
    d["predicted_cov"] =
        sequences(options_.store_predicted_cov, results_, &lds::filter_result::predicted_cov, n_);
    d["innovation_cov"] =
        sequences(options_.store_innovation_cov, results_, &lds::filter_result::innovation_cov, p_);
    return d;
  }

private:
  py::tuple final_state() const {
    const auto n_series = static_cast<py::ssize_t>(results_.size());
    const auto n = static_cast<py::ssize_t>(n_);
    index width = 0;
    for (const auto &r : results_)
      width = std::max(width, r.final_state.n_diffuse);
    py::array_t<double> mean({n_series, n}), cov({n_series, n, n}),
        diffuse({n_series, n, static_cast<py::ssize_t>(width)});
    std::fill_n(diffuse.mutable_data(), diffuse.size(), 0.0);
    double *m = mean.mutable_data(), *P = cov.mutable_data(), *D = diffuse.mutable_data();
    for (const auto &r : results_) {
      m = std::copy(r.final_state.mean.begin(), r.final_state.mean.end(), m);
      P = std::copy(r.final_state.cov.begin(), r.final_state.cov.end(), P);
      const index k = r.final_state.n_diffuse;
      for (index i = 0; i < n_; ++i, D += width)
        std::copy_n(r.final_state.diffuse.begin() + i * k, k, D);
    }
    return py::make_tuple(mean, cov, diffuse);
  }
  index n_, p_;
  const lds::filter_options &options_;
  std::vector<lds::filter_result> results_;
};

py::dict filter(const kept_system &system, const py::tuple &start, const py::object &y,
                const py::object &inputs, const py::tuple &means, const py::tuple &covs,
                const py::tuple &settings, const py::tuple &batch_shape,
                const python_ranks *ranks) {
  const system_stack &systems = system.stack();
  const start_stack starts(start);
  const series_stack<const double> rows(y, "y"), known(inputs, "inputs");
  const series_stack<double> filtered(means[0], "filtered_mean"),
      predicted(means[1], "predicted_mean"), innovations(means[2], "innovations"),
      terms(means[3], "log_likelihood_terms");
  systems.require_batch(rows.n_series, rows.first.rows);
  starts.require_batch(rows.n_series);
  known.require_batch(rows.n_series);
  for (const auto *out : {&filtered, &predicted, &innovations, &terms})
    out->require_batch(rows.n_series);
  require(ranks == nullptr || rows.n_series == 1, "y: ranks share one series");
  auto options = options_of<lds::filter_options>(settings);
  options.store_filtered_cov = py::cast<bool>(covs[0]);
  options.store_predicted_cov = py::cast<bool>(covs[1]);
  options.store_innovation_cov = py::cast<bool>(covs[2]);
  filter_collector results(rows.n_series, systems.state_dim(), systems.obs_dim(), options);
  lds::batch batch;
  batch.n_series = rows.n_series;
  batch.shared_system = systems.shared();
  batch.memory = system.memory();
  batch.at = [&](index i) -> lds::problem {
    const auto column = terms.at(i);
    return {systems.at(i),
            starts.at(i),
            {rows.at(i), known.at(i)},
            {filtered.at(i),
             predicted.at(i),
             innovations.at(i),
             {column.data, column.rows, column.row_stride}}};
  };
  batch.done = [&](index i, lds::filter_result &&r) { results.put(i, std::move(r)); };
  try {
    const py::gil_scoped_release release;
    if (ranks == nullptr) {
      lds::filter(batch, options);
    } else {
      const lds::problem block = batch.at(0);
      results.put(0, lds::filter(block.system, block.start, block.series, block.out, options,
                                 static_cast<const rank_group &>(*ranks)));
    }
  } catch (const lds::series_error &error) {
    refuse_series(error, batch_shape);
  }
  return results.summary();
}

py::dict smooth(const kept_system &system, const py::tuple &start, const py::object &y,
                const py::object &inputs, const py::tuple &means, const py::tuple &covs,
                const py::tuple &settings, const py::tuple &batch_shape) {
  const system_stack &systems = system.stack();
  const start_stack starts(start);
  const series_stack<const double> rows(y, "y"), known(inputs, "inputs");
  const series_stack<double> mean(means[0], "smoothed_mean"), w(means[1], "state_disturbance"),
      v(means[2], "obs_disturbance");
  systems.require_batch(rows.n_series, rows.first.rows);
  starts.require_batch(rows.n_series);
  known.require_batch(rows.n_series);
  for (const auto *out : {&mean, &w, &v})
    out->require_batch(rows.n_series);
  auto options = options_of<lds::smoother_options>(settings);
  options.store_cov = py::cast<bool>(covs[0]);
  options.store_lag_one_cov = py::cast<bool>(covs[1]);
  options.store_state_disturbance_cov = py::cast<bool>(covs[2]);
  options.store_obs_disturbance_cov = py::cast<bool>(covs[3]);
  std::vector<lds::smoother_result> results(static_cast<std::size_t>(rows.n_series));
  lds::smoother_batch batch;
  batch.n_series = rows.n_series;
  batch.shared_system = systems.shared();
  batch.memory = system.memory();
  batch.at = [&](index i) -> lds::smoother_problem {
    return {systems.at(i), starts.at(i), {rows.at(i), known.at(i)}, {mean.at(i), w.at(i), v.at(i)}};
  };
  batch.done = [&](index i, lds::smoother_result &&r) {
    results[static_cast<std::size_t>(i)] = std::move(r);
  };
  try {
    const py::gil_scoped_release release;
    lds::smooth(batch, options);
  } catch (const lds::series_error &error) {
    refuse_series(error, batch_shape);
  }
  py::dict d;
  d["log_likelihood"] = each(results, &lds::smoother_result::log_likelihood);
  d["n_diffuse"] = each(results, &lds::smoother_result::n_diffuse);
  d["steady_from"] = each(results, &lds::smoother_result::steady_from);
  d["error_bound"] = each(results, &lds::smoother_result::error_bound);
  const index n = systems.state_dim();
  d["smoothed_cov"] = sequences(options.store_cov, results, &lds::smoother_result::smoothed_cov, n);
  d["lag_one_cov"] =
      sequences(options.store_lag_one_cov, results, &lds::smoother_result::lag_one_cov, n);
  d["state_disturbance_cov"] = sequences(options.store_state_disturbance_cov, results,
                                         &lds::smoother_result::state_disturbance_cov, n);
  d["obs_disturbance_cov"] =
      sequences(options.store_obs_disturbance_cov, results,
                &lds::smoother_result::obs_disturbance_cov, systems.obs_dim());
  return d;
}

py::tuple steady_state(const py::tuple &system) {
  const system_stack systems(system);
  systems.require_batch(1, 1);
  const lds::model model = systems.at(0);
  lds::steady_result r;
  {
    const py::gil_scoped_release release;
    r = lds::steady_state(model);
  }
  const index n = model.transition.rows, p = model.observation.rows;
  return py::make_tuple(array_of(r.predicted_cov, {n, n}), array_of(r.gain, {n, p}),
                        array_of(r.innovation_cov, {p, p}), r.spectral_radius, r.residual);
}

// Every series of (N, T, n).
void propagate(const py::tuple &system, const py::object &inputs, const py::object &states) {
  const system_stack systems(system);
  const series_stack<const double> known(inputs, "inputs");
  const series_stack<double> x(states, "states");
  systems.require_batch(x.n_series, x.first.rows);
  known.require_batch(x.n_series);
  const py::gil_scoped_release release;
  for (index i = 0; i < x.n_series; ++i)
    lds::propagate(systems.at(i), known.at(i), x.at(i));
}

} // namespace

void register_lds(py::module_ &m) {
  m.doc() = "Kernels of eigenflow.lds.";
  py::class_<kept_system>(m, "System").def(py::init<py::tuple>(), py::arg("arrays"));
  m.def("filter", &filter, py::arg("system"), py::arg("start"), py::arg("y"), py::arg("inputs"),
        py::arg("means"), py::arg("covs"), py::arg("settings"), py::arg("batch_shape"),
        py::arg("ranks") = nullptr);
  m.def("smooth", &smooth, py::arg("system"), py::arg("start"), py::arg("y"), py::arg("inputs"),
        py::arg("means"), py::arg("covs"), py::arg("settings"), py::arg("batch_shape"));
  m.def("steady_state", &steady_state, py::arg("system"));
  m.def("propagate", &propagate, py::arg("system"), py::arg("inputs"), py::arg("states"));
}

} // namespace eigenflow::bindings
