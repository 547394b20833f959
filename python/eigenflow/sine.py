"""Sine-activated low-rank matrices that are never stored."""
