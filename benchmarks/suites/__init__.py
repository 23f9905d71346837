"""One suite per file: ``run_suite(config, setup)`` yields its rows; ``suite=`` is the file name."""
