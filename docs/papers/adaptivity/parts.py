"""The parts of the reproduction: what to measure, and what to show of it."""

from adaptivity import coefficients, figures, growth, rates, regression, slopes, suspects, tables
from reproduction import Part

PARTS = {
    "rates": Part(
        rates.measure,
        rates.n_ticks,
        tables.rates,
        {"rates_error": figures.rates_error, "rates_time": figures.rates_time},
    ),
    "growth": Part(growth.measure, growth.n_ticks, tables.growth, {"growth": figures.growth}),
    "slopes": Part(slopes.measure, slopes.n_ticks, tables.slopes, {"slopes": figures.slopes}),
    "suspects": Part(suspects.measure, suspects.n_ticks, tables.suspects, {}),
    "regression": Part(
        regression.measure,
        regression.n_ticks,
        tables.regression,
        {"regression": figures.regression},
    ),
    "coefficients": Part(
        coefficients.measure,
        coefficients.n_ticks,
        tables.coefficients,
        {"coefficients": figures.coefficients},
    ),
}
