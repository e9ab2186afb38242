"""Plain values in, HTML out. Every text of a document or a user is escaped here, and nowhere else."""
