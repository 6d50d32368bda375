"""What a command tells when it cannot go on."""

from __future__ import annotations


class CommandFailed(Exception):
    """`problem` says what is wrong and why, `step` what to do next."""

    def __init__(self, problem: str, step: str) -> None:
        super().__init__(f"{problem}\nnext: {step}")
