"""The command line. Each command has a module with `run`, which is loaded when the command was chosen."""
