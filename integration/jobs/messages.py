"""The message that makes a job go on: {"v":1,"kind":"prices","id":"20260731T020000-1f2e3d4c","step":3}.

It only points at the state, so a repeated, late or lost one can neither repeat nor skip a step. With
"cancel": true the job looks whether it is to end, whatever its step is and however long it waits.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Self

from integration.errors import ContractError

VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}")  # becomes part of a blob's name


@dataclass(frozen=True, slots=True)
class StepMessage:
    kind: str
    id: str
    step: int
    cancel: bool = False

    def to_bytes(self) -> bytes:
        body: dict[str, object] = {
            "v": VERSION,
            "kind": self.kind,
            "id": self.id,
            "step": self.step,
        }
        if self.cancel:
            body["cancel"] = True
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Raises ContractError."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ContractError("the job message is not JSON") from error
        if not isinstance(data, dict) or data.get("v") != VERSION:
            raise ContractError(f"the job message is not of version {VERSION}")
        kind, job_id, step = data.get("kind"), data.get("id"), data.get("step")
        for name in (kind, job_id):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ContractError("the job message names no job")
        if not isinstance(step, int) or isinstance(step, bool) or step < 0:
            raise ContractError("the job message names no step")
        return cls(str(kind), str(job_id), step, data.get("cancel") is True)
