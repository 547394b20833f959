"""The main job: the four systems on real data, as a table and a report with figures."""

from eigenflow.demo.runner import run

__all__ = ["run"]
