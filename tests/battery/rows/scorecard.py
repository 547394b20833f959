"""Checks of OpenSSF Scorecard that a clone can answer, with Scorecard's weights and points.

Where Scorecard also asks the hosting service, only the points that a clone proves are given. What
it cannot judge at all is in `NOT_HERE`.
"""

import dataclasses
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CRITICAL, HIGH, MEDIUM, LOW = 10.0, 7.5, 5.0, 2.5
NOT_HERE = {
    "Branch-Protection": "a setting of the hosting service",
    "CI-Tests": "the service's list of runs",
    "CII-Best-Practices": "a badge of another service",
    "Code-Review": "the service's reviews",
    "Contributors": "the service's accounts",
    "Maintained": "the service's activity of 90 days",
    "SBOM": "files of a release",
    "Signed-Releases": "files of a release",
    "Vulnerabilities": "a data base of vulnerabilities",
    "Webhooks": "a setting of the hosting service",
}
# Starts of files that a machine runs: ELF, Windows, Mach-O (three kinds), Java, WebAssembly, ar.
PROGRAMS = (
    b"\x7fELF",
    b"MZ",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"\0asm",
    b"!<arch>\n",
)
# What anybody who opens a pull request or an issue can write.
FOREIGN = re.compile(r"\$\{\{[^}]*(github\.event\.|github\.head_ref|secrets\.)")


@dataclasses.dataclass(frozen=True)
class Repository:
    """A clone: the files that git tracks, and its workflows as they are read by the service."""

    root: Path

    def files(self) -> list[Path]:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=self.root, capture_output=True, text=True, check=True
        )
        paths = (self.root / name for name in listing.stdout.split("\0") if name)
        return [path for path in paths if path.is_file()]

    def workflows(self) -> dict[str, dict[Any, Any]]:
        folder = self.root / ".github" / "workflows"
        return {path.name: read_yaml(path.read_text()) for path in sorted(folder.glob("*.yml"))}

    def steps(self) -> Iterator[dict[str, Any]]:
        for workflow in self.workflows().values():
            for job in workflow["jobs"].values():
                yield from job.get("steps", [])

    def uses(self) -> list[str]:
        return [step["uses"] for step in self.steps() if "uses" in step]

    def text(self, name: str) -> str:
        path = self.root / name
        return path.read_text() if path.exists() else ""


def read_yaml(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


def triggers(workflow: dict[Any, Any]) -> set[str]:
    """Events that start a workflow; YAML reads the word `on` as true."""
    found = workflow.get("on", workflow.get(True))
    return {found} if isinstance(found, str) else set(found)


def binary_artifacts(repository: Repository) -> float:
    programs = 0
    for path in repository.files():
        with path.open("rb") as file:
            programs += file.read(8).startswith(PROGRAMS) or path.suffix in {".pyc", ".jar"}
    return max(0, 10 - programs)


def dangerous_workflow(repository: Repository) -> float:
    for workflow in repository.workflows().values():
        if triggers(workflow) & {"pull_request_target", "workflow_run"}:
            return 0
    return 0 if any(FOREIGN.search(step.get("run", "")) for step in repository.steps()) else 10


def dependency_update_tool(repository: Repository) -> float:
    settings = read_yaml(repository.text(".github/dependabot.yml")) or {}
    kinds = {update["package-ecosystem"] for update in settings.get("updates", [])}
    return 10 if "github-actions" in kinds else 0


def fuzzing(repository: Repository) -> float:
    """Only fuzzers of known makes count; our own (rows R6 and R7) are none of them."""
    if (repository.root / ".clusterfuzzlite" / "Dockerfile").exists():
        return 10
    known = {
        ".py": re.compile(rb"^import atheris\b", re.MULTILINE),
        ".cpp": re.compile(rb"^extern \"C\" int LLVMFuzzerTestOneInput\b", re.MULTILINE),
    }
    sources = (path for path in repository.files() if path.suffix in known)
    return 10 if any(known[path.suffix].search(path.read_bytes()) for path in sources) else 0


def licence(repository: Repository) -> float:
    named = tomllib.loads(repository.text("pyproject.toml")).get("project", {}).get("license")
    return 9 * bool(repository.text("LICENSE")) + isinstance(named, str)


def packaging(repository: Repository) -> float:
    return (
        10
        if any(use.startswith("pypa/gh-action-pypi-publish@") for use in repository.uses())
        else 0
    )


def pinned_dependencies(repository: Repository) -> float:
    """Actions by their hashes and installations by pip, half each; within actions 2 to 8."""
    ours: list[bool] = []
    others: list[bool] = []
    for use in repository.uses():
        pinned = re.fullmatch(r"[^@]+@[0-9a-f]{40}", use) is not None
        (ours if use.startswith(("actions/", "github/")) else others).append(pinned)
    shares = [(ours, 2), (others, 8), (installations(repository), 10)]
    known = [(sum(pins) / len(pins), weight) for pins, weight in shares if pins]
    if not known:
        return 10
    return 10 * sum(share * weight for share, weight in known) // sum(w for _, w in known)


def installations(repository: Repository) -> list[bool]:
    """Whether hashes say what is installed, for every `pip install` of workflows and scripts."""
    texts = [step.get("run", "") for step in repository.steps()]
    for path in repository.files():
        with path.open("rb") as file:
            if re.match(rb"#!.*sh\b", file.readline(80)):
                texts.append(path.read_text())
    found = re.findall(r"pip install (.*?)(?=&&|;|$)", "\n".join(texts), re.MULTILINE)
    built = re.compile(r"\S+\.(whl|tar\.gz)\b")  # what the same run has made
    return [bool("--require-hashes" in how or built.search(how)) for how in found]


def sast(repository: Repository) -> float:
    """CodeQL; the other 3 points are for the share of commits that it saw."""
    return (
        7 if any(use.startswith("github/codeql-action/init@") for use in repository.uses()) else 0
    )


def security_policy(repository: Repository) -> float:
    text = repository.text("SECURITY.md")
    links = re.findall(r"https?://[^\s)>]+|[\w.+-]+@[\w-]+\.[\w.]+", text)
    words = len(text) - sum(map(len, links)) > 10
    expected = re.findall(r"vuln|disclos|\b\d+ days", text, re.IGNORECASE)
    return 6 * bool(links) + 3 * words + (len(expected) >= 2)


def token_permissions(repository: Repository) -> float:
    """Read only by default; a job may have more, but not the contents, packages or actions."""
    for workflow in repository.workflows().values():
        if "permissions" not in workflow or "write" in str(workflow["permissions"]):
            return 0
        for job in workflow["jobs"].values():
            rights = job.get("permissions", {})
            if isinstance(rights, str):
                rights = {"contents": "write"} if "write" in rights else {}
            if "write" in {rights.get(right) for right in ("contents", "packages", "actions")}:
                return 0
    return 10


CHECKS: dict[str, tuple[float, Callable[[Repository], float]]] = {
    "Binary-Artifacts": (HIGH, binary_artifacts),
    "Dangerous-Workflow": (CRITICAL, dangerous_workflow),
    "Dependency-Update-Tool": (HIGH, dependency_update_tool),
    "Fuzzing": (MEDIUM, fuzzing),
    "License": (LOW, licence),
    "Packaging": (MEDIUM, packaging),
    "Pinned-Dependencies": (MEDIUM, pinned_dependencies),
    "SAST": (MEDIUM, sast),
    "Security-Policy": (MEDIUM, security_policy),
    "Token-Permissions": (HIGH, token_permissions),
}


def score(root: Path) -> tuple[float, dict[str, float]]:
    """The weighted mean of 0 to 10, and the points of each check."""
    repository = Repository(root)
    points = {name: float(check(repository)) for name, (_, check) in CHECKS.items()}
    weights = {name: weight for name, (weight, _) in CHECKS.items()}
    total = sum(points[name] * weights[name] for name in CHECKS)
    return total / sum(weights.values()), points
