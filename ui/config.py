"""What one start of the application is asked to do. Defaults live here; the flags of ``ui.app`` mirror them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from ui.gates.origins import parse_origin

MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request, or one user, may ask for."""

    query_characters: int = 4_000
    instruction_characters: int = 2_000
    name_characters: int = 64  # of a view
    top_k: int = 50
    upload_bytes: int = 200 * MEBIBYTE  # one file
    upload_files: int = 1_000  # of one form
    body_bytes: int = MEBIBYTE // 2  # any request that is no upload
    queue_size: int = 100  # requests of one address that wait
    concurrency: int = 8  # requests of one kind that run at once
    jobs: int = 1  # children (ingest, eval) that run at once
    login_failures: int = 5  # of one address, within
    login_seconds: int = 60
    job_megabytes: int = 16_384  # of address space of a child
    job_hours: float = 12.0


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """One start of the application."""

    host: str = "127.0.0.1"
    port: int = 7860
    collection: str | None = None
    store: str | None = None
    model: str | None = None
    gpus: str = "none"
    auth: Path | None = None
    no_auth: bool = False
    read_only: bool = False
    root_path: str = ""
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    trust_proxy: bool = False
    upload_quota: int = 2_048  # MiB of all uploads together
    allow_folders: tuple[Path, ...] = ()
    runs: Path = Path("runs")
    llm: str | None = None
    llm_endpoint: str | None = None
    llm_model: str | None = None
    llm_tokenizer: Path | None = None
    mcp: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Check what can be checked without opening anything.

        Raises:
            ValueError: a value is not allowed, or the application would be open to others without a password.
        """
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"--port is {self.port}; expected 0 to 65535 (0: any that is free)")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ValueError(f"--root-path is {self.root_path!r}; expected a path such as /search")
        if bool(self.llm_endpoint) != bool(self.llm_model):
            raise ValueError("--llm-endpoint and --llm-model belong together; give both, or neither")
        if self.llm is not None and not (Path(self.llm).expanduser() / "config.json").is_file():
            raise ValueError(f"--llm {self.llm}: there is no model in it; expected a folder of a causal language model")
        if self.llm_tokenizer is not None and not self.llm_tokenizer.expanduser().exists():
            raise ValueError(f"--llm-tokenizer {self.llm_tokenizer}: there is no such file; expected a tokenizer.json")
        for origin in self.allow_origins:
            parse_origin(origin)
        if self.mcp and self.auth is not None:
            raise ValueError(
                "--mcp and --auth do not go together: a login is a page's, and the tools would either ask nobody or "
                "answer nobody; leave one of them out"
            )
        for folder in self.allow_folders:
            if not folder.is_dir():
                raise ValueError(f"--allow-folder {folder}: there is no such folder")
        if not self.is_loopback and self.auth is None and not self.no_auth:
            raise ValueError(
                f"--host {self.host} lets other machines in, and no password is asked for; give --auth FILE (lines "
                "NAME:PASSWORD), or --no-auth if everybody who can reach this machine may use it"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False
