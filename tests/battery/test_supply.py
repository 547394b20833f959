"""R18: this repository's release is in order, and what is not in order would be seen."""

import copy
import importlib.metadata
import json
import re
import subprocess
import zipfile

import pytest

pytest.importorskip("yaml")

from battery.rows import scorecard, supply
from battery.table import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a clone")
HERE = scorecard.Repository(ROOT)
WHEELS = ROOT / ".github" / "workflows" / "wheels.yml"


def test_this_repository_is_in_order():
    assert supply.unpinned(HERE) == []
    assert supply.release_faults(HERE.workflows()["wheels.yml"]) == []
    points, checks = scorecard.score(ROOT)
    assert points >= supply.BAR
    for name in ("Dangerous-Workflow", "Token-Permissions", "Binary-Artifacts", "Security-Policy"):
        assert checks[name] == 10, name
    assert not checks.keys() & scorecard.NOT_HERE.keys()


def with_upload(change):
    workflow = copy.deepcopy(HERE.workflows()["wheels.yml"])
    change(workflow["jobs"])
    return supply.release_faults(workflow)


def step(jobs, action):
    return next(s for s in jobs["publish"]["steps"] if s.get("uses", "").startswith(action))


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        (
            "a stored secret",
            lambda jobs: step(jobs, "pypa/")["with"].update(password="${{ secrets.X }}"),
        ),
        ("no identity to trust", lambda jobs: jobs["publish"]["permissions"].pop("id-token")),
        (
            "files that are not attested on PyPI",
            lambda jobs: step(jobs, "pypa/")["with"].update(attestations=False),
        ),
        (
            "files without provenance",
            lambda jobs: step(jobs, "actions/attest")["with"].update(
                {"subject-path": "dist/*.whl"}
            ),
        ),
        ("files without provenance", lambda jobs: jobs["publish"]["steps"].reverse()),
        ("files that are made and not published", lambda jobs: jobs["publish"]["needs"].pop()),
        (
            "files that are made and not published",
            lambda jobs: step(jobs, "actions/download")["with"].pop("merge-multiple"),
        ),
        (
            "steps that could change files",
            lambda jobs: jobs["publish"]["steps"].insert(1, {"run": "touch dist/x"}),
        ),
        ("rights of sdist", lambda jobs: jobs["sdist"].update(permissions={"contents": "write"})),
        ("no job publishes", lambda jobs: jobs.pop("publish")),
    ],
)
def test_a_fault_of_the_release_is_seen(fault, change):
    assert with_upload(change) == [fault]


def test_rights_of_the_whole_workflow_are_seen():
    workflow = copy.deepcopy(HERE.workflows()["wheels.yml"])
    workflow["permissions"] = "write-all"
    assert supply.release_faults(workflow) == ["rights before the upload"]
    del workflow["permissions"]
    assert supply.release_faults(workflow) == ["rights before the upload"]


def repository(folder, files):
    """A clone with these files, over what a good one has."""
    good = {
        "LICENSE": "BSD",
        "pyproject.toml": '[project]\nlicense = "BSD-3-Clause"\n',
        "SECURITY.md": (ROOT / "SECURITY.md").read_text(),
        ".github/dependabot.yml": (ROOT / ".github" / "dependabot.yml").read_text(),
        ".github/workflows/wheels.yml": WHEELS.read_text(),
    }
    for name, content in {**good, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "."], cwd=folder, check=True)
    return scorecard.score(folder)[1]


def workflow(
    on="push", run="echo 1", rights="{contents: read}", use="actions/checkout@" + 40 * "a"
):
    return f"""
on: {on}
permissions: {rights}
jobs:
  one:
    runs-on: ubuntu-24.04
    steps:
      - uses: {use}
      - run: {run}
"""


ONE = ".github/workflows/one.yml"


@pytest.mark.parametrize(
    ("check", "points", "files"),
    [
        ("Binary-Artifacts", 10, {}),
        ("Binary-Artifacts", 8, {"a": b"\x7fELF\2", "b": b"MZ\0"}),
        ("Dangerous-Workflow", 10, {ONE: workflow()}),
        ("Dangerous-Workflow", 0, {ONE: workflow(on="[push, pull_request_target]")}),
        ("Dangerous-Workflow", 0, {ONE: workflow(run="echo ${{ github.event.issue.title }}")}),
        ("Dependency-Update-Tool", 10, {}),
        ("Dependency-Update-Tool", 0, {".github/dependabot.yml": "version: 2"}),
        ("Fuzzing", 0, {}),
        ("Fuzzing", 10, {"fuzz.py": "import atheris\n"}),
        ("Fuzzing", 10, {"fuzz.cpp": 'extern "C" int LLVMFuzzerTestOneInput(const char*);\n'}),
        ("License", 10, {}),
        ("License", 1, {"LICENSE": ""}),
        ("License", 9, {"pyproject.toml": "[project]\n"}),
        ("Packaging", 10, {}),
        ("Packaging", 0, {".github/workflows/wheels.yml": workflow()}),
        ("Pinned-Dependencies", 10, {}),
        ("Pinned-Dependencies", 9, {ONE: workflow(use="actions/checkout@v4")}),
        ("Pinned-Dependencies", 8, {ONE: workflow(use="other/action@v4")}),
        ("Pinned-Dependencies", 8, {ONE: workflow(run="python -m pip install build")}),
        ("Pinned-Dependencies", 8, {"run": "#!/usr/bin/env bash\npip install build && true\n"}),
        ("Pinned-Dependencies", 10, {"notes": "pip install build\n"}),
        ("SAST", 0, {}),
        ("SAST", 7, {ONE: workflow(use="github/codeql-action/init@" + 40 * "b")}),
        ("Security-Policy", 10, {}),
        ("Security-Policy", 0, {"SECURITY.md": ""}),
        ("Security-Policy", 3, {"SECURITY.md": "Tell us of what you find, please."}),
        ("Security-Policy", 4, {"SECURITY.md": "Vulnerabilities are answered within 7 days."}),
        ("Token-Permissions", 10, {ONE: workflow()}),
        ("Token-Permissions", 10, {ONE: workflow(rights="read-all")}),
        ("Token-Permissions", 0, {ONE: workflow(rights="write-all")}),
        ("Token-Permissions", 0, {ONE: workflow().replace("permissions:", "env:")}),
        (
            "Token-Permissions",
            0,
            {ONE: workflow().replace("    steps", "    permissions: {contents: write}\n    steps")},
        ),
    ],
)
def test_points(check, points, files, tmp_path):
    assert repository(tmp_path, files)[check] == points


def installed_sbom():
    """The bill of materials of the installation that is tested."""
    files = importlib.metadata.files("eigenflow")
    (found,) = (file for file in files if file.match("*.dist-info/sboms/*.cdx.json"))
    return found.read_text()


def wheel_with(folder, held, **others):
    """A wheel with this bill of materials."""
    path = folder / "eigenflow-1-py3-none-any.whl"
    version = importlib.metadata.version("eigenflow")
    info = f"eigenflow-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Name: eigenflow\nVersion: {version}\n")
        archive.writestr(f"{info}/sboms/eigenflow.cdx.json", held)
        archive.writestr("eigenflow/_core.abi3.so", b"")
        for name in others:
            archive.writestr(name, b"")
    return path


def test_the_installed_bill_of_materials(tmp_path):
    held = json.loads(installed_sbom())
    assert held["metadata"]["component"]["version"] == importlib.metadata.version("eigenflow")
    names = {part["name"] for part in held["components"]}
    assert {"pybind11", "scikit-build-core", "cmake"} < names
    assert "@" not in "".join(part["version"] for part in held["components"])
    assert all(re.match(r"\d", part["version"]) for part in held["components"])
    pytest.importorskip("cyclonedx", reason="the schema is in cyclonedx-python-lib")
    assert supply.sbom_faults(wheel_with(tmp_path, installed_sbom())) == []


def test_a_wrong_bill_of_materials_is_seen(tmp_path):
    pytest.importorskip("cyclonedx", reason="the schema is in cyclonedx-python-lib")
    held = json.loads(installed_sbom())

    def faults(**changes):
        return supply.sbom_faults(wheel_with(tmp_path, json.dumps({**held, **changes})))

    (fault,) = faults(bomFormat="SPDX")
    assert fault.startswith("not valid: ")
    parts = [part for part in held["components"] if part["name"] != "pybind11"]
    assert faults(components=parts) == ["does not name pybind11"]
    main = held["metadata"]["component"]
    assert faults(metadata={"component": {**main, "version": "9"}}) == ["of eigenflow 9"]
    parts = [{**part, "version": ""} for part in held["components"][:1]] + held["components"][1:]
    assert faults(components=parts) == ["pybind11 has no version"]
    beside = wheel_with(tmp_path, installed_sbom(), **{"eigenflow.libs/libblas-1.so.3": b""})
    assert supply.sbom_faults(beside) == ["does not name eigenflow.libs/libblas-1.so.3"]
    with zipfile.ZipFile(tmp_path / "eigenflow-2.whl", "w") as archive:
        archive.writestr("eigenflow/__init__.py", b"")
    assert supply.sbom_faults(tmp_path / "eigenflow-2.whl") == [
        "want one bill of materials, got []"
    ]
