"""Directive ``run-code``: run the code of a page while the documentation is built.

The code is shown, then what it printed, then the figures it made. All blocks of a page share their
names, in the order of the page, so that every number on it was computed. An error stops the build.
"""

import contextlib
import io
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

FOLDER = "_run"


class RunCode(SphinxDirective):
    """``.. run-code::`` with the options ``:hide:`` (the code) and ``:alt:`` (of its figures)."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "hide": directives.flag,
        "alt": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Run the block and return what it shows."""
        names = self.env.temp_data.setdefault("run-code names", {"__name__": "__main__"})
        code = "\n".join(self.content)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Line numbers of an error are those of the page.
            lines = "\n" * (self.content_offset - 1)
            exec(compile(lines + code, self.env.doc2path(self.env.docname), "exec"), names)
        shown: list[nodes.Node] = []
        if "hide" not in self.options:
            shown.append(nodes.literal_block(code, code, language="python"))
        if printed.getvalue():
            text = printed.getvalue().rstrip()
            shown.append(nodes.literal_block(text, text, language="text"))
        return shown + self._figures()

    def _figures(self) -> list[nodes.Node]:
        import matplotlib.pyplot as plt

        page = Path(self.env.doc2path(self.env.docname))
        folder = page.parent / FOLDER
        folder.mkdir(exist_ok=True)
        made: list[nodes.Node] = []
        for number in plt.get_fignums():
            count = self.env.temp_data.get("run-code figures", 0) + 1
            self.env.temp_data["run-code figures"] = count
            name = f"{FOLDER}/{page.stem}-{count}.png"
            plt.figure(number).savefig(page.parent / name, dpi=110, bbox_inches="tight")
            made.append(nodes.image(uri=name, alt=self.options.get("alt", "figure")))
        plt.close("all")
        return made


def setup(app: Any) -> dict[str, Any]:
    """Register the directive; figures are drawn without a display."""
    import matplotlib as mpl

    mpl.use("Agg")
    app.add_directive("run-code", RunCode)
    return {"parallel_read_safe": True}
