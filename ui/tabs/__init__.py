"""One tab a file: ``build(...)`` lays it out and ties its handlers to it."""
