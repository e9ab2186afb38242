"""Prompt retrieval for in-context learning."""
