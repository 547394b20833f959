"""Linear dynamical systems: filtering, and how many parameters keep predictions stable."""

from eigenflow.lds.system import LinearSystem

__all__ = ["LinearSystem"]
