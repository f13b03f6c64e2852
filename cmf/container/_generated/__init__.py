# Generated from schema/cmf.fbs by tools/gen_schema.py: do not edit.
"""Generated from the schema: :mod:`.fb` (flatc's classes) and :mod:`.enums`."""
