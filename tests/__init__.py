"""A package by name, so that `tests.support` is this one: some distributions ship a `tests` too."""
