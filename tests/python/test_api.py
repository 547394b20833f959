"""The contract: names, argument order and result fields that users may rely on."""

import dataclasses
import inspect
import operator

import pytest

import eigenflow as ef

# Positional arguments in order, then keyword-only ones; more keywords may come.
FUNCTIONS = {
    "flow.solve": (
        "z eigenvalues times",
        "depth b0 coupling rtol out workers check_finite",
    ),
    "flow.state": ("z eigenvalues times", "depth b0 coupling workers check_finite"),
    "flow.vanilla": ("z eigenvalues times", "out workers check_finite"),
    "flow.learned_eigenvalues": ("theta eigenvalues", "depth b0"),
    "flow.sure": ("z eigenvalues times noise_variance", "depth b0 axis workers check_finite"),
    "flow.derivatives": (
        "z eigenvalues times",
        "wrt depth b0 coupling workers check_finite",
    ),
    "flow.jvp": ("z eigenvalues times tangents", "depth b0 coupling workers check_finite"),
    "flow.vjp": (
        "z eigenvalues times grad_output",
        "wrt depth b0 coupling workers check_finite",
    ),
    "flow.expected_risk": (
        "signal eigenvalues times noise_variance",
        "depth b0 coupling axis rtol workers check_finite",
    ),
    "flow.hitting_time": (
        "fraction z eigenvalues",
        "depth b0 coupling workers check_finite",
    ),
    "flow.descend": (
        "z eigenvalues step_size n_steps",
        "depth b0 record workers check_finite",
    ),
    "flow.stopping_time": (
        "z eigenvalues noise_variance rule",
        "depth b0 coupling axis points_per_decade tau workers check_finite",
    ),
    "flow.universal_choice": ("noise_variance", "depth"),
    "flow.diagonal_network": ("z scale times", "workers check_finite"),
    "flow.landweber": ("z eigenvalues step_size n_steps", "check_finite"),
    "flow.fit": (
        "features y eigenvalues times",
        "depth b0 coupling method rtol max_steps workers check_finite progress",
    ),
    "flow.CosineDesign": ("shape", ""),
    "flow.FourierDesign": ("shape", ""),
    "flow.HaarDesign": ("shape", ""),
    "flow.WaveletDesign": ("shape wavelet level", ""),
    "lowrank.svd": (
        "A rank",
        "rtol atol norm oversampling power_iterations rng workers check_finite",
    ),
    "lowrank.eigh": ("A rank", "rtol atol positive oversampling passes rng workers check_finite"),
    "lowrank.pivoted_qr": ("A rank", "rtol atol oversampling rng workers check_finite"),
    "lowrank.interpolative": ("A rank", "rtol atol oversampling rng workers check_finite"),
    "lowrank.svd_many": ("matrices ranks", "rtol progress"),
    "lowrank.range_finder": ("A size", "power_iterations rng"),
    "lowrank.select_rank": (
        "s shape rule",
        "share rtol atol noise_std total_squared A n_draws rng",
    ),
    "lowrank.allocate_ranks": (
        "spectra importance",
        "shapes costs totals share budget method min_rank max_rank multiple_of dense_costs",
    ),
    "lowrank.perturb": ("W_base W_free", "max_rank conv"),
    "lowrank.perturb_layers": (
        "W_base W_free importance",
        "rule share budget min_rank max_rank conv passes rng workers check_finite",
    ),
    "lowrank.prune": ("tasks", "mode threshold share check_finite"),
    "lowrank.gradient_importance": ("gradients", "batch_sizes norm check_finite"),
    "lowrank.weighted_factors": (
        "A rank",
        "row_weights col_factor rng workers check_finite",
    ),
    "sine.SineLowRank": ("U V omega", "gain method rtol exact_phase"),
    "sine.fit": ("W rank", "omega"),
    "sine.choose_frequency": ("U V", "target"),
    "sine.SineLowRank.stable_rank": ("self", "rng workers"),
    "sine.SineLowRank.numerical_rank": ("self rtol", "rng workers"),
    "sine.SineLowRank.vjp": ("self X grad_output", "wrt workers check_finite"),
    "sine.SineLowRank.jvp": ("self X tangents", "workers check_finite"),
    "sine.quantize": ("factor bits", "check_finite"),
    "sine.QuantizedSine": ("U V omega", "gain workers"),
    "lds.LinearSystem": (
        "A C Q R",
        "B D state_offset obs_offset cross_cov mean0 cov0 diffuse time_varying",
    ),
    "lds.simulate": ("system n_steps", "n_series inputs given progress rng"),
    "lds.filter": ("system y", "inputs state store method out progress workers check_finite"),
    "lds.smooth": ("system y", "inputs store method out progress workers check_finite"),
    "dask.svd": (
        "A rank",
        "rtol atol norm oversampling power_iterations passes method center row_weights \
column_weights residuals client max_memory checkpoint progress rng",
    ),
    "dask.fit": (
        "features y eigenvalues times",
        "depth b0 coupling rtol max_steps client max_memory checkpoint progress",
    ),
    "mpi.fit": (
        "features_local y eigenvalues_local times",
        "comm depth b0 coupling rtol max_steps workers check_finite",
    ),
    "dask.filter": ("system y", "inputs state store method client max_memory progress"),
    "dask.SineLowRank": ("U V omega", "gain exact_phase client max_memory"),
    "mpi.svd": (
        "A_local rank",
        "comm rtol atol norm oversampling power_iterations center row_weights_local \
column_weights rng workers check_finite",
    ),
    "mpi.flow": (
        "z_local eigenvalues_local times",
        "comm depth b0 coupling workers check_finite",
    ),
    "mpi.sure": (
        "z_local eigenvalues_local times noise_variance",
        "comm depth b0 coupling workers check_finite",
    ),
    "mpi.expected_risk": (
        "signal_local eigenvalues_local times noise_variance",
        "comm depth b0 coupling rtol workers check_finite",
    ),
    "mpi.stopping_time": (
        "z_local eigenvalues_local noise_variance rule",
        "comm depth b0 coupling points_per_decade tau workers check_finite",
    ),
    "mpi.SineLowRank": ("U_local V omega", "gain comm"),
    "mpi.filter": (
        "system y_local",
        "comm inputs_local store method workers check_finite",
    ),
    "mpi.log_likelihood": ("system y_local", "comm inputs_local workers check_finite"),
    "lds.filter_blocks": ("system blocks", "inputs state store method workers check_finite"),
    "lds.forecast": (
        "system y steps",
        "inputs future_inputs future state level method workers check_finite",
    ),
    "lds.diagnose": ("system y", "inputs lags n_parameters method workers"),
    "lds.standardized_residuals": ("system y", "inputs method workers"),
    "lds.log_likelihood": ("system y", "workers check_finite"),
    "lds.steady_state": ("system", ""),
    "lds.score": ("system y", "inputs progress workers check_finite"),
    "lds.fit": ("model y", "inputs start method max_iterations rtol progress workers check_finite"),
    "lds.identify": ("y", "state_dim lags mean progress rng"),
    "lds.structural": ("level", "seasonal ar"),
    "lds.arma": ("p q", "mean"),
    "lds.min_filter_length": ("A C", ""),
    "lds.fir_predictor": ("system length", "horizon"),
    "lds.truncated_kalman": ("system length", ""),
    "lds.risk": ("system learner horizon", "workers check_finite"),
    "lds.simulated_risk": ("system learner horizon", "n_series rng"),
    "lds.kl_divergence": ("system learner horizon", "noise_cov"),
    "lds.phase_sweep": ("system learner counts horizons", ""),
    "lds.unstable_structure": ("A", "C Q tol"),
    "lds.min_parameters": ("A", ""),
    "lds.stability_margins": ("A", ""),
    "lds.filter_length_for": ("system horizon", "tol criterion"),
    "lds.best_filter_length": ("system horizon", ""),
}

RESULTS = {
    "mpi.FlowBlock": "theta loss",
    "flow.FlowState": "theta residual a b beta learned_eigenvalues",
    "flow.FlowDerivatives": "theta z eigenvalues b0 times",
    "flow.FlowGradients": "z eigenvalues b0 times",
    "flow.UniversalChoice": "time b0",
    "flow.FlowFit": (
        "times coefficients fitted_values residual_norm learned_eigenvalues dual method n_steps "
        "error_estimate reached converged"
    ),
    "sine.SineGradients": "U V omega gain X",
    "lowrank.SVDResult": (
        "U s Vh rank error relative_error error_kind failure_probability residuals method passes"
    ),
    "lowrank.EighResult": (
        "eigenvalues eigenvectors rank error relative_error error_kind failure_probability "
        "residuals method passes"
    ),
    "lowrank.PivotedQRResult": (
        "Q R pivots rank error relative_error error_kind failure_probability method passes"
    ),
    "lowrank.InterpolativeResult": (
        "indices coefficients rank error relative_error error_kind failure_probability method "
        "passes"
    ),
    "lowrank.Allocation": "ranks cost kept_share",
    "lowrank.Perturbation": "row_scale col_scale left right s residual_squared",
    "lowrank.LayerPerturbations": "layers ranks kept_share cost",
    "sine.QuantizedFactor": "codes table shape bits",
    "lds.SmoothResult": (
        "smoothed_mean smoothed_cov lag_one_cov state_disturbance state_disturbance_cov "
        "obs_disturbance obs_disturbance_cov log_likelihood n_diffuse diffuse_convention "
        "steady_from error_bound"
    ),
    "lds.FilterResult": (
        "filtered_mean filtered_cov predicted_mean predicted_cov innovations innovation_cov "
        "log_likelihood log_likelihood_terms n_diffuse diffuse_convention steady_from error_bound "
        "final_state"
    ),
}


def resolve(name):
    return operator.attrgetter(name)(ef)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name):
    positional, keyword = FUNCTIONS[name]
    parameters = inspect.signature(resolve(name)).parameters.values()
    ordered = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert ordered == positional.split()
    assert set(keyword.split()) <= keywords


@pytest.mark.parametrize("name", RESULTS)
def test_result_fields(name):
    result = resolve(name)
    fields = [field.name for field in dataclasses.fields(result)]
    wanted = RESULTS[name].split()
    assert [f for f in fields if f in wanted] == wanted
    parameters = result.__dataclass_params__
    assert parameters.frozen
    assert not parameters.eq
