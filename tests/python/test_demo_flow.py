"""What the flow section of the report says is true."""

import re

import numpy as np
import pytest

from eigenflow.demo import flow

pytest.importorskip("sklearn", reason="scikit-learn ships the photograph")
pytest.importorskip("matplotlib", reason="the section draws")


@pytest.fixture(scope="module")
def section():
    steps = []
    made = flow.run(steps.append)
    assert len(steps) == flow.N_STEPS
    return made


@pytest.mark.slow
def test_the_section_says_what_the_table_holds(section):
    reached = {row[0]: float(row[2]) for row in section.tables[0].rows}
    assert all(reached[name] > reached["noisy"] + 1 for name, _ in section.summary[1:-2])
    winner = re.search(r"The best here is (.*)\.$", section.text[2])[1]
    assert reached[winner] == max(reached.values())
    for what, result in section.summary[1:-2]:
        assert result == f"{reached[what]:.2f} dB"


@pytest.mark.slow
def test_a_wrong_order_hurts_the_fixed_flow_most(section):
    reached = {row[0]: float(row[2]) for row in section.tables[0].rows}
    fixed, grown = "flow, fixed eigenvalues", "flow, depth 0"
    assert reached[f"{fixed}, order shuffled"] < reached[fixed] - 1
    assert reached[f"{grown}, order shuffled"] > reached[f"{fixed}, order shuffled"]


@pytest.mark.slow
def test_sure_stops_close_to_the_best_time(section):
    for _, _, chosen, best in section.tables[0].rows[1:]:
        assert float(best) - 0.2 <= float(chosen) <= float(best)


@pytest.mark.slow
def test_learned_eigenvalues_rise_with_the_signal():
    picture = flow.load()
    outcome = flow.follow(picture, 1)
    assert 0 < outcome.chosen < outcome.grid.size - 1
    strong = np.abs(picture.signal) > 1
    shrunk = np.abs(outcome.estimate) / np.abs(picture.z)
    assert np.median(shrunk[strong]) > 0.9
    assert np.median(shrunk[~strong]) < 0.1
