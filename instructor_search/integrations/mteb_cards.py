"""What is published of INSTRUCTOR's models and of ours, as mteb describes models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mteb.models.model_meta import ModelMeta, ScoringFunction

from instructor_search.encoder.checkpoint import BASE_MODEL, DEFAULT_MODEL

Loader = Callable[..., Any]  # makes the model of a name

# Parameters: encoder of GTR-T5 of that size and the dense layer to 768 (reference: the paper, table 1, and file sizes).
INSTRUCTOR_PARAMETERS = {"base": 110_218_368, "large": 335_726_080, "xl": 1_241_696_256}
_CITATION = """@inproceedings{su-etal-2023-one,
  title = {One Embedder, Any Task: Instruction-Finetuned Text Embeddings},
  author = {Su, Hongjin and Shi, Weijia and Kasai, Jungo and Wang, Yizhong and Hu, Yushi and Ostendorf, Mari and
            Yih, Wen-tau and Smith, Noah A. and Zettlemoyer, Luke and Yu, Tao},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2023},
  year = {2023},
}"""


def instructor_card(size: str, loader: Loader) -> ModelMeta:
    """Return the description of a published INSTRUCTOR model: "base", "large" or "xl"."""
    parameters = INSTRUCTOR_PARAMETERS[size]
    return ModelMeta(
        loader=loader,
        name=f"hkunlp/instructor-{size}",
        revision=None,
        release_date="2022-12-20",
        languages=["eng-Latn"],
        n_parameters=parameters,
        memory_usage_mb=round(parameters * 4 / 2**20),
        max_tokens=512,
        embed_dim=768,
        license="apache-2.0",
        open_weights=True,
        public_training_code="https://github.com/xlang-ai/instructor-embedding",
        public_training_data=None,
        framework=["Sentence Transformers", "PyTorch"],
        reference=f"https://huggingface.co/hkunlp/instructor-{size}",
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=True,
        # the four of the paper's 70 sets that its training data touches, as the model card names them
        training_datasets={"NQ", "MSMARCO", "FEVER", "HotpotQA"},
        adapted_from=f"sentence-transformers/gtr-t5-{size}",
        citation=_CITATION,
    )


def default_card(loader: Loader) -> ModelMeta:
    """Return the description of the model that comes with this project."""
    return ModelMeta(
        loader=loader,
        name=f"instructor-search/{DEFAULT_MODEL}",
        revision=None,
        release_date="2026-11-26",
        languages=["eng-Latn"],
        n_parameters=22_713_216,
        memory_usage_mb=43,  # float16
        max_tokens=256,
        embed_dim=384,
        license="apache-2.0",
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        framework=["Sentence Transformers", "PyTorch"],
        similarity_fn_name=ScoringFunction.COSINE,
        use_instructions=True,
        # of those that mteb knows, what the mixture or the base was trained on (docs/training_data.md)
        training_datasets={
            "HotpotQA",
            "SIB200ClusteringS2S",
            "PIQA",
            "SIQA",
            "PawsXPairClassification",
            "MBPPRetrieval",
            "MedicalQARetrieval",
            "NQ",
            "MSMARCO",
        },
        adapted_from=f"sentence-transformers/{BASE_MODEL}",
    )
