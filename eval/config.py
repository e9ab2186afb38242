"""What one run of eval is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from instructor_search.in_context.choices import Selector

DEFAULT_OUTPUT = Path("runs")
DEFAULT_DEMONSTRATIONS = 8
DEFAULT_SELECTOR = "nearest"


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """One run. ``models``: specifications (eval/systems.py); ``instructions``: a variant, or a JSON file."""

    suites: tuple[str, ...]
    data: str = "auto"
    models: tuple[str, ...] = ("default",)
    instructions: str = "default"
    output: Path = DEFAULT_OUTPUT
    overwrite: bool = False
    cache: Path | None = None  # of embeddings; None: below ``output``
    use_cache: bool = True
    device: str | None = None
    runtime: str | None = None
    precision: str | None = "fp32"
    allow_pickle: bool = False
    reranker: str | None = None
    seed: int = 42
    num_resamples: int = 1000
    cluster_seeds: int | None = None  # of k-means; None: what the suite takes, 1 but for robustness
    num_demonstrations: tuple[int, ...] = (DEFAULT_DEMONSTRATIONS,)
    selectors: tuple[str, ...] = (DEFAULT_SELECTOR,)
    prompt_tokens: int = 1000
    llm: str | None = None  # folder of a causal language model
    llm_endpoint: str | None = None
    llm_model: str | None = None

    @property
    def cache_folder(self) -> Path | None:
        """Where embeddings are kept; None: nowhere."""
        return (self.cache or self.output / "cache") / "embeddings" if self.use_cache else None

    def __post_init__(self) -> None:
        """Check what can be checked without opening anything."""
        if bool(self.llm_endpoint) != bool(self.llm_model):
            missing = "--llm-model NAME" if self.llm_endpoint else "--llm-endpoint URL"
            raise ValueError(f"--llm-endpoint and --llm-model go together; {missing} is missing")
        if self.llm and self.llm_endpoint:
            raise ValueError("give --llm FOLDER or --llm-endpoint URL, not both")
        unknown = [name for name in self.selectors if name not in list(Selector)]
        if unknown or not self.selectors:
            raise ValueError(f"--selectors names {', '.join(unknown) or 'nothing'}; expected of {', '.join(Selector)}")
        if not self.num_demonstrations or min(self.num_demonstrations) < 1:
            raise ValueError("--demonstrations names no number of at least 1; expected e.g. 8 or 4,8")
        if not self.suites:
            raise ValueError("--suite names nothing; expected suites or tasks, e.g. all")
        if not self.models:
            raise ValueError("--models names nothing; expected what to evaluate, e.g. default")
        for flag, folder in (("--output", self.output), ("--cache", self.cache)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise ValueError(f"{flag} {folder} is a file; expected a folder")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"--models names one twice: {', '.join(self.models)}")
