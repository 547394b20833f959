"""Settings of all tests."""

import os

from hypothesis import is_hypothesis_test, settings

# Times vary on shared machines: no deadlines. In CI the examples are the same in every run.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_modifyitems(items):
    """Give every property at least EIGENFLOW_EXAMPLES examples (row R3 of the battery)."""
    wanted = int(os.environ.get("EIGENFLOW_EXAMPLES", "0"))
    for item in items:
        test = getattr(item, "obj", None)
        if wanted and is_hypothesis_test(test):
            own = getattr(test, "_hypothesis_internal_use_settings", None) or settings()
            more = settings(own, max_examples=max(wanted, own.max_examples))
            test._hypothesis_internal_use_settings = more
