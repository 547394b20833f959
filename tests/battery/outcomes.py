"""Where a hostile input leads to something else than the default of its kind.

Rows are (kind, call, argument, outcome) with shell patterns; the first row that fits counts.
`works` means: no error, and finite numbers.
"""

# Coordinates and times of a flow broadcast as NumPy's arrays do, in any number of dimensions.
_BROADCAST = [
    ("flow.solve", "*"),
    ("flow.state", "*"),
    ("flow.derivatives", "*"),
    ("flow.vanilla", "*"),
    ("flow.sure", "*"),
    ("flow.expected_risk", "*"),
    ("flow.hitting_time", "*"),
    ("flow.learned_eigenvalues", "*"),
    ("flow.descend", "*"),
    ("flow.landweber", "*"),
    ("flow.diagonal_network", "*"),
    ("flow.stopping_time", "*"),
    ("flow.jvp", "*"),
    ("flow.vjp", "*"),
]

ARRAYS = [
    *((kind, *call, "same") for call in _BROADCAST for kind in ("0-d", "too many dimensions")),
    # A number of levels, or one level; the coefficients are a bag of numbers.
    ("0-d", "flow.signal_*", "*", "same"),
    ("0-d", "flow.tail_energy", "*", "same"),
    ("0-d", "flow.effective_span_dimension", "*", "same"),
    ("too many dimensions", "flow.signal_*", "*", "same"),
    ("too many dimensions", "flow.tail_energy", "*", "same"),
    ("too many dimensions", "flow.span_exponent", "*", "same"),
    ("too many dimensions", "flow.effective_span_dimension", "*", "same"),
    ("0-d", "flow.fit", "eigenvalues", "same"),  # one for all features
    ("0-d", "flow.fit", "times", "same"),
    ("too many dimensions", "flow.fit", "times", "same"),
    ("too many dimensions", "flow.*Design.*", "*", "same"),  # leading axes are many signals
    # Weights of any shape.
    ("0-d", "lowrank.prune", "*", "same"),
    ("0-d", "lowrank.gradient_*", "*", "same"),
    ("too many dimensions", "lowrank.prune", "*", "same"),
    ("too many dimensions", "lowrank.gradient_*", "*", "same"),
    # One by one systems may be numbers; leading axes are many systems.
    ("0-d", "lds.LinearSystem", "*", "same"),
    ("too many dimensions", "lds.LinearSystem", "*", "same"),
    ("0-d", "lds.exponential_smoothing", "*", "same"),
    # The limit of a flow is a time; NaN is a missing observation.
    ("Inf", "flow.*", "times", "same"),
    *(
        ("NaN", f"lds.{name}", "*", "same")
        for name in (
            "filter",
            "filter_blocks",
            "smooth",
            "log_likelihood",
            "forecast",
            "diagnose",
            "standardized_residuals",
            "score",
            "fit",
        )
    ),
    # Arguments that may be left out.
    ("None", "lowrank.perturb_layers", "importance", "works"),
    ("None", "lowrank.weighted_factors", "*_*", "works"),
    ("None", "sine.SineLowRank.jvp", "tangent", "works"),
    # Operands of an svd: complex and sparse matrices are defined.
    ("complex", "lowrank.eigh", "A", "ValueError"),  # not Hermitian
    ("complex", "lowrank.svd*", "*", "works"),
    ("complex", "lowrank.pivoted_qr", "A", "works"),
    ("complex", "lowrank.interpolative", "A", "works"),
    ("complex", "lowrank.range_finder", "A", "works"),
    ("sparse", "lowrank.svd*", "*", "works"),
    ("sparse", "lowrank.eigh", "A", "works"),
    ("sparse", "lowrank.pivoted_qr", "A", "works"),
    ("sparse", "lowrank.interpolative", "A", "works"),
    ("sparse", "lowrank.range_finder", "A", "works"),
    ("sparse", "flow.fit", "features", "works"),
]
