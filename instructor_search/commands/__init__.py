"""The command line of the library: one file a group of commands, with its parsers and what they run."""
