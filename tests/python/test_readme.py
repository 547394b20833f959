"""The README's examples run and print what the README says."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(("code", "output"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_prints_what_the_readme_says(code, output, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.split() == output.split()


def test_every_module_has_an_example():
    for module in ("flow", "lowrank", "sine", "lds"):
        assert any(f"ef.{module}." in code for code, _ in EXAMPLES), module


def test_the_commands_are_single_lines():
    for mark in ("test-command", "demo-command"):
        assert re.search(rf"<!-- {mark} -->\n```sh\n[^\n]+\n```", README), mark
