"""Directive ``reliability-table``: last figures of the battery (results/reliability.json)."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

VERDICTS = {True: "holds", False: "does not hold", None: "not run"}


class ReliabilityTable(SphinxDirective):
    """One row a promise: what is tested, the bar, the figure last measured, its arguments."""

    def run(self) -> list[nodes.Node]:
        """Write the table as text and let Sphinx read it."""
        path = Path(self.env.srcdir) / "results" / "reliability.json"
        self.env.note_dependency(str(path))
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 6 22 29 30 13", ""]
        lines += self._row("", "promise", "test, and its bar", "last measured", "how")
        for name, row in json.loads(path.read_text()).items():
            test = f"{row['test']}; bar: {row['bar']} ({row['when']})".replace("`", "``")
            arguments = row["command"].removeprefix("python tests/battery ")
            figure = f"**{VERDICTS[row['holds']]}**: {row['figure']}"
            lines += self._row(name, row["promise"], test, figure, f"``{arguments}``")
        return self.parse_text_to_nodes("\n".join(lines))

    @staticmethod
    def _row(*cells: str) -> list[str]:
        first, *others = cells
        return [f"   * - {first}", *(f"     - {cell}" for cell in others)]


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("reliability-table", ReliabilityTable)
    return {"parallel_read_safe": True}
