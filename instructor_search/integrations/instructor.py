"""Drop-in for the class of the old ``InstructorEmbedding`` package: ``from instructor_search import INSTRUCTOR``."""

from __future__ import annotations

from instructor_search.encoder.inference import InstructorEncoder


class INSTRUCTOR(InstructorEncoder):
    """``INSTRUCTOR("hkunlp/instructor-large").encode([["Represent the Science title: ", "3D ActionSLAM ..."]])``.

    Same arguments, same vectors. Where the old class returned a zero vector or failed (tokens merging at the border of
    instruction and text), this one returns the text's embedding; an instruction as long as the window raises
    ``InstructionTooLongError``.
    """
