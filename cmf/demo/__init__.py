"""The demonstration: a real image classifier, compressed in several ways and run by the C library (``cmf demo``)."""
