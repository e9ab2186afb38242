"""Prompt retrieval for in-context learning: choose demonstrations, build a prompt within a budget, ask a model."""
