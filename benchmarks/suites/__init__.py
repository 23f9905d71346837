"""One file a suite: ``measure(config, setup)`` yields the rows of its table.  ``suite=NAME`` is a file's name."""
