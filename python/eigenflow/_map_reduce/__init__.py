"""Algorithms in the shape that every engine can run.

Each one is: a block becomes a small summary, summaries are combined in one fixed tree, and what
comes out of that goes back to the blocks. The functions here are that and nothing else: pure, small
to pickle, with all arithmetic in `_core`. `engine` says what a Dask cluster, MPI ranks or a list of
arrays must do to run them.
"""
