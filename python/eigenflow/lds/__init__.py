"""Linear dynamical systems: filtering, and how many parameters keep predictions stable."""
