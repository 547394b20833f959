import os
import subprocess
import sys

import numpy as np
import pytest

import eigenflow as ef
from eigenflow import _blas
from eigenflow._core import runtime


def run_python(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_blas_is_bound_once_and_whole():
    _blas.ensure_bound()
    assert runtime.blas_available()


def test_an_unknown_signature_is_refused(monkeypatch):
    monkeypatch.setitem(_blas._SIGNATURES, "gemm", "int64_t *")
    with pytest.raises(ImportError, match=r"sgemm .*want 'void \(int64_t \*\)'"):
        _blas.ensure_bound.__wrapped__()


def test_bind_refuses_what_is_no_capsule_or_has_no_slot():
    with pytest.raises(TypeError):
        runtime.bind_blas("dgemm", 5)
    from scipy.linalg import cython_blas

    with pytest.raises(KeyError):
        runtime.bind_blas("nothing", cython_blas.__pyx_capi__["dgemm"])


@pytest.mark.parametrize("level", ["baseline", "v3"])
def test_the_cpu_level_can_be_lowered(level):
    run = run_python(
        "from eigenflow._core import runtime; print(runtime.cpu_level())", EIGENFLOW_CPU_LEVEL=level
    )
    assert run.stdout.strip() in {level, "baseline"}


def test_an_unknown_cpu_level_is_an_error_with_its_name():
    run = run_python(
        "from eigenflow._core import runtime; runtime.cpu_level()", EIGENFLOW_CPU_LEVEL="v9"
    )
    assert "EIGENFLOW_CPU_LEVEL: got 'v9'" in run.stderr


def test_import_is_light():
    heavy = "scipy", "sklearn", "matplotlib", "torch", "cupy", "tqdm"
    run = run_python(
        f"import sys, eigenflow; print([m for m in {heavy} if m in sys.modules])",
    )
    assert run.stdout.strip() == "[]"


def test_show_config_says_what_a_bug_report_needs(capsys):
    ef.show_config()
    text = capsys.readouterr().out
    for word in (ef.__version__, "CPU level", "BLAS", "SciPy", "GPU", np.__version__):
        assert word in text


def test_the_version_is_the_one_of_the_header():
    from importlib.metadata import version

    assert ef.__version__ == version("eigenflow")


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ef.nothing
    assert {"flow", "lowrank", "sine", "lds"} <= set(dir(ef))
