"""Check what wheels carry: `python tests/check_wheel.py dist`, a folder or one wheel."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE_FOLDERS = ("cpp", "cuda", "python/eigenflow")
MAX_MEGABYTES = 5


def tracked_files() -> set[str]:
    """What git tracks in the folders that the wheel carries, by its name in the wheel."""
    listing = subprocess.run(
        ["git", "ls-files", *SOURCE_FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {
        "eigenflow/" + line.removeprefix("python/eigenflow/") for line in listing.stdout.split()
    }


def problems(wheel: Path) -> list[str]:
    """Differences between the wheel and what it should hold."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    generated = {
        name
        for name in names
        if re.fullmatch(r"eigenflow-[^/]+\.dist-info/.*", name)
        or re.fullmatch(r"eigenflow/_core\.[^/]+\.(so|pyd)", name)
        or re.fullmatch(r"eigenflow/lib/cmake/eigenflow/eigenflowConfig(Version)?\.cmake", name)
    }
    expected = tracked_files()
    found = [f"missing: {name}" for name in sorted(expected - names)]
    found += [f"unexpected: {name}" for name in sorted(names - expected - generated)]
    n_generated = len([name for name in generated if not name.startswith("eigenflow-")])
    if n_generated != 3:
        found.append(f"want one extension and two CMake files, got {n_generated} generated files")
    if not any(
        re.fullmatch(r"[^/]+\.dist-info/sboms/eigenflow\.cdx\.json", name) for name in names
    ):
        found.append("missing: the bill of materials")
    if wheel.stat().st_size > MAX_MEGABYTES * 2**20:
        found.append(f"larger than {MAX_MEGABYTES} MB: {wheel.stat().st_size} bytes")
    return found


def main() -> int:
    """Print the problems; the exit code says whether there are any."""
    given = Path(sys.argv[1])
    wheels = sorted(given.glob("eigenflow-*.whl")) if given.is_dir() else [given]
    failed = not wheels
    for wheel in wheels:
        found = problems(wheel)
        failed |= bool(found)
        print(*found, f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB", sep="\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
