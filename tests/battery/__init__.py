"""The reliability battery: what holds for every public function, whatever comes in.

`python tests/battery` runs the rows that are too long for every change and writes the figures of
docs/reliability. The rows that run on every change are the `test_*.py` files here.
"""
