"""The ``cmf`` command."""
