"""R5: no hang and no crash from one NaN or infinity anywhere."""

from battery.children import run_child


def test_one_bad_entry_anywhere():
    status, found, errors = run_child("battery.nonfinite", 6)
    assert status == 0, errors
    assert found["calls"] >= 10_000
    assert found["n_faults"] == 0, found["faults"]
