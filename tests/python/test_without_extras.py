"""Without PyTorch or scikit-learn everything else works, and the rest says what it needs."""

import subprocess
import sys

import numpy as np
import pytest

import eigenflow as ef
from eigenflow.__main__ import main

CODE = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())  # as if it were not installed
import eigenflow as ef
from eigenflow import *
assert {{"nn", "estimators"}} <= set(dir(ef))
try:
    ef.{part}
except ImportError as error:
    print(error)
"""


def message_without(missing, part):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(missing=missing, part=part)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_missing_pytorch_is_named_with_its_extra():
    text = message_without("safetensors", "nn") + message_without("torch", "nn")
    assert text.count("pip install 'eigenflow[torch]'") == 2
    assert "eigenflow.nn needs" in text


def test_a_missing_scikit_learn_is_named_with_its_extra():
    assert "pip install eigenflow[sklearn]" in message_without("sklearn", "estimators")


def test_a_bar_and_the_demo_say_what_they_need(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"^progress: got True, which needs tqdm"):
        ef.lowrank.svd_many([np.eye(3)], 1, progress=True)
    monkeypatch.setattr("eigenflow.__main__.find_spec", lambda name: None)
    assert main(["demo"]) == 1
    assert "pip install 'eigenflow[demo]'" in capsys.readouterr().err
