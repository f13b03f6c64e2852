"""One operator a file; see :mod:`cmf.reference.registry`."""
