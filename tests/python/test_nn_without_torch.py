"""Without PyTorch everything else works, and eigenflow.nn says what it needs."""

import subprocess
import sys

CODE = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())  # as if it were not installed
import eigenflow as ef
from eigenflow import *
assert "nn" in dir(ef)
try:
    ef.nn
except ImportError as error:
    print(error)
"""


def message_without(missing):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(missing=missing)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_missing_pytorch_is_named_with_its_extra():
    text = message_without("safetensors") + message_without("torch")
    assert text.count("pip install 'eigenflow[torch]'") == 2
    assert "eigenflow.nn needs" in text
