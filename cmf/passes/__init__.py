"""Passes: one verb a file. They decide what a graph becomes, never the bytes."""
