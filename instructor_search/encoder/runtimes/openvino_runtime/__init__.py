"""A model as an OpenVINO graph: built from its weights, in int8 if wished, kept on disk, run. Needs no torch."""
