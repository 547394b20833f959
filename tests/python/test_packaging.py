"""What the release workflow promises: pinned actions, all platforms (rights: test_supply.py)."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_actions_are_pinned_by_hash_and_say_their_version():
    used = [
        line.strip()
        for path in WORKFLOWS
        for line in path.read_text().splitlines()
        if line.strip().removeprefix("- ").startswith("uses:")
    ]
    assert used
    for line in used:
        assert re.fullmatch(r"(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_wheels_cover_what_the_classifiers_promise():
    wheels = SETTINGS["tool"]["cibuildwheel"]
    assert wheels["build"].split() == ["cp311-*", "cp312-*", "cp313-*", "cp314-*", "cp314t-*"]
    assert wheels["manylinux-x86_64-image"] == "manylinux_2_28"
    assert "musllinux" not in wheels["skip"].replace("musllinux_i686", "")
    assert wheels["windows"]["environment"]["CMAKE_GENERATOR_TOOLSET"] == "ClangCL"
    text = (ROOT / ".github/workflows/wheels.yml").read_text()
    systems = re.search(r"os: \[(.*)\]", text).group(1).split(", ")
    for start in ("ubuntu", "macos", "windows"):
        assert any(system.startswith(start) for system in systems)
    assert any(system.endswith("-arm") for system in systems)


def test_groups_repeat_extras():
    extras = SETTINGS["project"]["optional-dependencies"]
    for name, group in SETTINGS["dependency-groups"].items():
        assert group == extras[name], name


def test_every_extra_is_explained():
    page = (ROOT / "docs/install.rst").read_text()
    for extra in SETTINGS["project"]["optional-dependencies"]:
        assert f"``{extra}``" in page, extra


def test_a_build_needs_two_packages():
    names = [re.match(r"[\w-]+", r).group() for r in SETTINGS["build-system"]["requires"]]
    assert names == ["scikit-build-core", "pybind11"]
