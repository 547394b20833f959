"""Sessions that are too long for every change: ``nox -s battery -- --full``."""

import nox

nox.options.sessions = ["battery"]


@nox.session
def battery(session: nox.Session) -> None:
    """Measure the rows of docs/reliability; arguments go to ``python tests/battery``."""
    session.install("cmake", "ninja", "scikit-build-core", "pybind11")
    session.install(".[test,release]", "torch", "safetensors", "ziglang")
    session.run("python", "tests/battery", *session.posargs)
