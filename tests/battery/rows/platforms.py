"""R20: the library for every platform that a wheel is made for, by the Clang of PyPI's `ziglang`.

The C++ library and its tests are compiled and linked. Test programs run where the machine can run
them: musl's under its own loader, arm64's under qemu (QEMU_LD_PREFIX names the folder with the
loader and the libraries of the system), those of Windows under wine. They take BLAS from the
platform's own wheel of `scipy-openblas32`.
"""

import dataclasses
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from battery.table import ROOT, Figure, Row

BUILD = ROOT / "build" / "platforms"
# Results into which the maths library of the system enters.
LOOSE = ("flow.link", "lds.filter.log_likelihood")
WINE = {"WINEDEBUG": "-all", "WINEPREFIX": str(BUILD / "wine")}


@dataclasses.dataclass(frozen=True)
class Platform:
    """Target of the compiler, the tag of its wheels, and what runs its programs."""

    target: str
    tag: str
    loader: str = ""
    emulator: str = ""

    @property
    def folder(self) -> Path:
        return BUILD / self.target

    def runner(self) -> list[str] | None:
        """The start of a command line that runs a program, None where nothing does."""
        if self.target.startswith("x86_64-linux"):
            alike = sys.platform == "linux" and platform.machine() == "x86_64"
            return [] if alike and Path(self.loader).exists() else None
        places = [self.emulator, f"/usr/lib/wine/{self.emulator}"]  # Debian's is in no PATH
        found = next(filter(None, map(shutil.which, places)), None) if self.emulator else None
        if found is None:
            return None
        if not self.loader:
            return [found]
        system = Path(os.environ.get("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu"))
        return [found, "-L", str(system)] if (system / self.loader[1:]).exists() else None


PLATFORMS = (
    Platform("x86_64-linux-musl", "musllinux_1_2_x86_64", "/lib/ld-musl-x86_64.so.1"),
    Platform(
        "aarch64-linux-gnu",
        "manylinux_2_28_aarch64",
        "/lib/ld-linux-aarch64.so.1",
        "qemu-aarch64-static",
    ),
    Platform(
        "aarch64-linux-musl",
        "musllinux_1_2_aarch64",
        "/lib/ld-musl-aarch64.so.1",
        "qemu-aarch64-static",
    ),
    Platform("x86_64-windows-gnu", "win_amd64", emulator="wine64"),
    Platform("aarch64-macos.11.0", "macosx_11_0_arm64"),
    Platform("x86_64-macos.11.0", "macosx_11_0_x86_64"),
)


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the root; what it says is kept."""
    return subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env=os.environ | WINE | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def blas(of: Platform) -> Path | None:
    """The BLAS that SciPy's wheels of the platform carry."""
    place = of.folder / "blas"
    if not place.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary", ":all:"]
        run(*pip, "--platform", of.tag, "--target", place, "scipy-openblas32")
    libraries = place.glob("scipy_openblas32/lib/libscipy_openblas.*")
    return next((file for file in libraries if file.suffix in (".so", ".dll")), None)


def build(of: Platform, runner: list[str] | None) -> str:
    """Compile and link everything; return the last words of what failed, or nothing."""
    settings = ["-DCMAKE_BUILD_TYPE=Release", "-DEIGENFLOW_TESTS=ON", "-DEIGENFLOW_BLAS=table"]
    settings += ["-DEIGENFLOW_WARNINGS=ON", f"-DPLATFORM={of.target}"]
    if runner:
        settings.append(f"-DCMAKE_CROSSCOMPILING_EMULATOR={';'.join(runner)}")
    chain = ROOT / "tests" / "platforms" / "zig.cmake"
    cmake = ["cmake", "-S", ROOT, "-B", of.folder, "-G", "Ninja", "--toolchain", chain]
    for step in ([*cmake, *settings], ["cmake", "--build", of.folder, "--", "-k", "0"]):
        done = run(
            *step, PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        if done.returncode:
            return done.stdout[-4000:] + done.stderr[-4000:]
    return ""


def test(of: Platform) -> tuple[int, int, str]:
    """Numbers of programs that passed and failed, and what ctest said."""
    library = blas(of)
    environment = {"EIGENFLOW_TEST_BLAS": str(library)} if library else {}
    if of.target.startswith("aarch64"):
        environment["OPENBLAS_CORETYPE"] = "NEOVERSEN1"  # its SVE kernels give NaN under qemu 7.2
    done = run("ctest", "--test-dir", of.folder, "--output-on-failure", **environment)
    found = re.search(r"tests passed, (\d+) tests? failed out of (\d+)", done.stdout)
    if found is None:
        return 0, 1, done.stdout[-4000:] + done.stderr[-4000:]
    failed, all_of_them = map(int, found.groups())
    skipped = len(re.findall(r"\*\*\*Skipped", done.stdout))
    return all_of_them - failed - skipped, failed, done.stdout[-4000:] if failed else ""


def native() -> Path:
    """The program of the digest, built by this machine's own compiler."""
    folder = BUILD / "native"
    settings = ["-DCMAKE_BUILD_TYPE=Release", "-DEIGENFLOW_TESTS=ON", "-DEIGENFLOW_BLAS=table"]
    run("cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *settings)
    run("cmake", "--build", folder, "--target", "digest")
    return folder / "tests" / "cpp" / "digest"


def digests(program: Path, runner: list[str], x86: bool) -> list[tuple[bool, dict[str, str]]]:
    """For each level: whether it fuses multiplications, and the bits of each result."""
    found = []
    for level in ("baseline", "v3", "v4") if x86 else ("baseline",):
        done = run(*runner, program, EIGENFLOW_CPU_LEVEL=level)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout[-500:]} {done.stderr[-500:]}")
        bits = dict(line.split() for line in done.stdout.splitlines())
        found.append((not x86 or bits["level"] != "baseline", bits))
    return found


def differing(all_of_them: list[tuple[bool, dict[str, str]]]) -> tuple[int, list[str]]:
    """How many results there are, and which of them differ between levels that should agree."""
    names = [name for name in all_of_them[0][1] if name != "level"]
    differ = [
        name
        for name in names
        if any(
            len({bits[name] for fuses, bits in all_of_them if fuses is kind}) > 1
            for kind in (True, False)
        )
    ]
    return len(names), differ


def measure(full: bool) -> Figure:
    missing = [name for name in ("cmake", "ninja") if shutil.which(name) is None]
    missing += ["ziglang"] if importlib.util.find_spec("ziglang") is None else []
    if missing or sys.platform == "win32":
        return Figure(f"needs {', '.join(missing) or 'a system with shebangs'}", None)
    said, bits, faults = [], [], 0
    if platform.machine() == "x86_64":
        bits += digests(native(), [], x86=True)
    for of in PLATFORMS if full else PLATFORMS[:1]:
        runner = of.runner()
        fault = build(of, runner)
        words = "FAILS" if fault else "built"
        if not fault and runner is not None:
            passed, failed, fault = test(of)
            words = f"{passed} programs passed" + (f", {failed} failed" if failed else "")
            suffix = ".exe" if of.emulator == "wine64" else ""
            program = of.folder / "tests" / "cpp" / f"digest{suffix}"
            bits += digests(program, runner, of.target.startswith("x86_64"))
        if fault:
            print(of.target, fault, sep="\n", file=sys.stderr)
        faults += bool(fault)
        said.append(f"{of.target}: {words}")
    text = "; ".join(said)
    unlike: list[str] = []
    if bits:
        n, differ = differing(bits)
        unlike = [name for name in differ if not name.startswith(LOOSE)]
        text += (
            f"; {n - len(differ)} of {n} results have the same bits on all that ran, the others: "
        )
        text += ", ".join(differ) or "none"
    return Figure(text, not faults and not unlike)


ROW = Row(
    "The library compiles for every platform that a wheel is made for, and gives the same bits.",
    "C++ library and tests for musl, arm64, macOS, Windows; run under qemu and wine; bits compared",
    "all link, what runs passes, bits differ only where the system's maths library enters",
    measure,
)
