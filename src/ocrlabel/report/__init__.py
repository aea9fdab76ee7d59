"""The report page and the numbers of a run, made from its tables."""
