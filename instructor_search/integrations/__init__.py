"""Doors for other programs: each module adapts the encoder or the search to one of them."""
