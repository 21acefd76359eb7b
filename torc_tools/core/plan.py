"""A plan: a spec that is expanded and checked, ready to be stored."""

from typing import Any

Indexes = tuple[int, ...]


class Plan:
    """An expanded and checked workflow. Lists run parallel; references are indexes into the list of their kind."""

    def __init__(self) -> None:
        """Start empty."""
        self.workflow: dict[str, Any] = {}  # name, user, description, config
        self.requirements: list[dict[str, Any]] = []
        self.handlers: list[dict[str, Any]] = []
        self.schedulers: list[dict[str, Any]] = []
        self.actions: list[dict[str, Any]] = []  # with "jobs": indexes
        self.file_names: list[str] = []
        self.file_paths: list[str] = []
        self.user_data: list[tuple[str, str | None, bool]] = []  # name, data as JSON, is_ephemeral
        self.names: list[str] = []
        self.commands: list[str] = []
        self.scripts: list[str | None] = []
        self.requirement: list[int | None] = []
        self.handler: list[int | None] = []
        self.scheduler: list[int | None] = []
        self.settings: list[tuple[int, bool, dict[str, Any]]] = []  # priority, cancels on failure, config; shared
        self.parents: list[Indexes] = []
        self.files: dict[str, list[Indexes]] = {"input": [], "output": []}
        self.data: dict[str, list[Indexes]] = {"input": [], "output": []}
        self.stages: list[int] = []
