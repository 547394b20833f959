"""R18: where a release comes from, what it is made of, and who could slip something in."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

from battery.rows import scorecard
from battery.table import ROOT, Figure, Row

BAR = 8.0
SBOM = re.compile(r"eigenflow-[^/]+\.dist-info/sboms/eigenflow\.cdx\.json")
EXTENSION = re.compile(r"eigenflow/_core\.[^/]+\.(so|pyd)")
BINARY = re.compile(r".*\.(so(\.\d+)*|pyd|dll|dylib|a|lib|exe|whl|jar)")
# In a namespace of its own a process has no way out but the loopback, which is down.
ALONE = """
import pathlib, subprocess, sys
lines = pathlib.Path("/proc/net/dev").read_text().splitlines()[2:]
assert [line.split(":")[0].strip() for line in lines] == ["lo"], lines
sys.exit(subprocess.run([sys.executable, "-m", "pip", *sys.argv[1:]]).returncode)
"""


def unpinned(repository: scorecard.Repository) -> list[str]:
    """Actions that no hash names."""
    return [use for use in repository.uses() if not re.fullmatch(r"[^@]+@[0-9a-f]{40}", use)]


def release_faults(workflow: dict[Any, Any]) -> list[str]:
    """What keeps the workflow from publishing every file attested, with no stored secret."""
    jobs = workflow["jobs"]
    if "publish" not in jobs:
        return ["no job publishes"]
    publish = jobs["publish"]
    steps = {step["uses"].partition("@")[0]: step for step in publish["steps"] if "uses" in step}

    def given(action: str) -> dict[str, Any]:
        return dict(steps.get(action, {}).get("with", {}))

    order = list(steps)
    upload = "pypa/gh-action-pypi-publish"
    provenance = "actions/attest-build-provenance"
    faults = {
        "a stored secret": "secrets." in str(workflow) or "password" in given(upload),
        "no identity to trust": publish.get("permissions", {}).get("id-token") != "write",
        "rights before the upload": "write" in str(workflow.get("permissions", "write")),
        "files that are not attested on PyPI": given(upload).get("attestations") is not True,
        "files without provenance": given(provenance).get("subject-path") != "dist/*"
        or provenance not in order[: order.index(upload) if upload in order else 0],
        "files that are made and not published": unpublished(jobs)
        or given("actions/download-artifact") != {"path": "dist", "merge-multiple": True},
        "steps that could change files": any("run" in step for step in publish["steps"]),
    }
    for name, job in jobs.items():
        if name != "publish" and "write" in str(job.get("permissions", "")):
            faults[f"rights of {name}"] = True
    return [fault for fault, found in faults.items() if found]


def unpublished(jobs: dict[str, Any]) -> set[str]:
    """Jobs that keep files which the upload does not wait for."""
    makers = {
        name
        for name, job in jobs.items()
        if any(step.get("uses", "").startswith("actions/upload-artifact@") for step in job["steps"])
    }
    return makers ^ set(jobs["publish"]["needs"])


def sbom_faults(wheel: Path) -> list[str]:
    """How the bill of materials differs from the wheel that holds it."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        found = [name for name in names if SBOM.fullmatch(name)]
        if len(found) != 1:
            return [f"want one bill of materials, got {found}"]
        text = archive.read(found[0]).decode()
        metadata = Parser().parsestr(archive.read(found[0].split("/")[0] + "/METADATA").decode())
    held = json.loads(text)
    main = held["metadata"]["component"]
    parts = {part["name"]: part for part in held["components"]}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {re.split(r"[^\w-]", one)[0] for one in settings["build-system"]["requires"]}
    faults = [f"not valid: {schema_fault(text)}"] if schema_fault(text) else []
    if (main["name"], main["version"]) != (metadata["Name"], metadata["Version"]):
        faults.append(f"of {main['name']} {main['version']}")
    faults += [f"does not name {name}" for name in sorted(needed - parts.keys())]
    faults += [f"{name} has no version" for name, part in parts.items() if not part.get("version")]
    binaries = [name for name in names if BINARY.fullmatch(name)]
    faults += [f"does not name {name}" for name in binaries if not EXTENSION.fullmatch(name)]
    return faults


def schema_fault(text: str) -> str:
    """What the schema of CycloneDX says against it, or nothing."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return "" if fault is None else str(fault)[:300]


def build_alone(folder: Path) -> Path:
    """Build the source distribution, and from it, without any network, the wheel."""
    sdist = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", sdist, folder], cwd=ROOT, check=True, capture_output=True)
    (source,) = folder.glob("eigenflow-*.tar.gz")
    pip = ["wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder, source]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-c", ALONE, *pip],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    (wheel,) = folder.glob("eigenflow-*.whl")
    return wheel


def workflow_findings() -> int | None:
    """How many faults zizmor finds in the workflows, None where it is not installed."""
    if shutil.which("zizmor") is None:
        return None
    command = ["zizmor", "--offline", "--no-progress", "--format", "json", ROOT / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return len(json.loads(done.stdout))


def measure(full: bool) -> Figure:
    missing = [name for name in ("cyclonedx", "yaml") if importlib.util.find_spec(name) is None]
    missing += [name for name in ("zizmor", "cmake", "ninja") if shutil.which(name) is None]
    if missing or not (ROOT / ".git").exists():
        return Figure(f"needs {', '.join(missing) or 'a clone'}", None)
    repository = scorecard.Repository(ROOT)
    loose = unpinned(repository)
    faults = [f"{use} is not pinned" for use in loose]
    faults += release_faults(repository.workflows()["wheels.yml"])
    findings = workflow_findings()
    points, checks = scorecard.score(ROOT)
    below = ", ".join(f"{name} {value:.0f}" for name, value in checks.items() if value < 10)
    uses = len(repository.uses())
    scored = (
        f"Scorecard's {len(checks)} checks that a clone answers: {points:.1f} of 10 "
        f"(below 10: {below}; {len(scorecard.NOT_HERE)} need the hosting service)"
    )
    parts = [
        f"{uses - len(loose)} of {uses} actions pinned by hash",
        f"faults of the release workflow: {', '.join(faults) or 'none'}; zizmor: {findings}",
        scored,
    ]
    holds = not faults and findings == 0 and points >= BAR
    if full:
        text, built = alone()
        return Figure("; ".join([*parts, text]), holds and built)
    return Figure("; ".join(parts), holds)


def alone() -> tuple[str, bool]:
    """Build without a network and look at the bill of materials; say it, and whether it is good."""
    if shutil.which("unshare") is None:
        return "built without a network: not run, there is no unshare", False
    with tempfile.TemporaryDirectory() as folder:
        faults = sbom_faults(build_alone(Path(folder)))
    said = f"faults: {', '.join(faults)}" if faults else "valid, and names all that the wheel holds"
    return f"wheel built without a network; its CycloneDX SBOM: {said}", not faults


ROW = Row(
    "A release comes from its sources and says what it is made of; nobody can slip in a file.",
    "actions pinned by hash, trusted publishing, provenance and attestations of every file, least "
    "rights (zizmor), Scorecard's local checks; the wheel built from the source distribution "
    "without a network, and its bill of materials",
    "no fault; Scorecard's local checks at least 8",
    measure,
    when="release",
)
