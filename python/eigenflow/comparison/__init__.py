"""`python -m eigenflow bench`: eigenflow beside what is installed, as a table and a plot."""

from eigenflow.comparison.runner import run

__all__ = ["run"]
