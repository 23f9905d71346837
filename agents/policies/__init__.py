"""The policies, one file each; what a module lists in ``NAMES`` is what the command line offers."""
