"""Reads files into a collection: ``python -m ingest corpus/ --instruction``."""
