"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# Examples may take their time on a busy machine; everything else as it is (CI repeats its examples).
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")
