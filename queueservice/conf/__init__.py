"""The configuration: one module a group, each with `GROUP` (None for [DEFAULT]) and `OPTIONS`."""
