"""Settings of all tests."""

import os

from hypothesis import settings

# Times vary on shared machines: no deadlines. In CI the examples are the same in every run.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
