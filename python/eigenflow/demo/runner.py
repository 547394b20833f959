"""Runs the sections, with a progress bar, and prints their summary."""

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from eigenflow.demo.report import Section, write_page

Step = Callable[[str], None]

_SECTIONS = ("flow", "lowrank", "sine", "lds")


class _SectionModule(Protocol):
    # How often `run` calls `step`, for the length of the progress bar.
    N_STEPS: int

    def run(self, step: Step) -> Section: ...


def _section_module(name: str) -> _SectionModule:
    return cast("_SectionModule", import_module(f"eigenflow.demo.{name}"))


def run(out: str | Path = "eigenflow-report") -> Path:
    """Run the four sections, print one table, write the report, and return its path."""
    from tqdm import tqdm

    start = time.perf_counter()
    modules = [_section_module(name) for name in _SECTIONS]
    with tqdm(total=sum(m.N_STEPS for m in modules), bar_format="{l_bar}{bar:30} {desc}") as bar:

        def step(message: str) -> None:
            bar.set_description_str(message)
            bar.update()

        sections = [module.run(step) for module in modules]
    page = write_page(sections, Path(out))
    _print_summary(sections)
    print(f"\nReport: {page} ({time.perf_counter() - start:.0f} s)")
    return page


def _print_summary(sections: list[Section]) -> None:
    rows = [(s.title, what, result) for s in sections for what, result in s.summary]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for title, what, result in rows:
        print(f"{title:<{widths[0]}}  {what:<{widths[1]}}  {result}")
