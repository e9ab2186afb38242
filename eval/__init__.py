"""Evaluates encoders and collections on the nine task categories of the INSTRUCTOR paper."""
