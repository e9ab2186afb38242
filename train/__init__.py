"""Trains instruction-aware encoders (MEDI, contrastive loss, Accelerate)."""
