"""Ziemann, Matni and Pappas (arXiv 2409.13421), computed exactly."""
