"""Kernels on CuPy arrays. Imported only when a CuPy array arrives."""
