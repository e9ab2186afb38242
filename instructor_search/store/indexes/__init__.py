"""What is built from a collection's table to be fast, follows it, and can always be made again."""
