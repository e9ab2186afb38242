"""What computes embeddings: torch, or OpenVINO on a CPU; and which of them an encoder runs with."""
