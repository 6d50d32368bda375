"""What a command tells when it cannot go on: what is wrong, why, and the next step."""

from __future__ import annotations

from dataclasses import dataclass

from integration.errors import ConfigurationError, IntegrationError

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130  # exit codes

_NEXT = {
    "authentication": "check the credentials of this system in the app settings, or run `az login`",
    "misconfigured": "check the address, the names of entities and fields, and the user's rights",
    "throttled": "wait a few minutes, then run the command again",
    "unreachable": "check the address and the network, then run the command again",
    "state-unavailable": "check AzureWebJobsStorage, your sign-in and the connection to the storage",
    "queue-unavailable": "check ServiceBus and the connection to it",
    "queue-missing": "create the queue as infra/ describes it, or correct the namespace in ServiceBus",
    "queue-forbidden": "have the roles Service Bus Data Receiver and Sender given to you, or `az login`",
    "state-conflict": "somebody else changed the same thing just now; run the command again",
    "budget-spent": "wait until the window of 24 hours has moved on: `limits` shows what is left",
    "REQUEST_LIMIT_EXCEEDED": "wait until the window of 24 hours has moved on: `limits` shows what is left",
}


_OTHERWISE = "docs/runbook.md explains the reason; --debug shows where it came from"


class CommandFailed(Exception):
    """`problem` says what is wrong and why, `step` what to do next."""

    code = FAILED

    def __init__(self, problem: str, step: str) -> None:
        super().__init__(f"{problem}\nnext: {step}")
        self.problem, self.step = problem, step


class WrongUse(CommandFailed):
    """The command line itself must change."""

    code = WRONG_USE


@dataclass(frozen=True, slots=True)
class Problem:
    """`reason` is a short constant to look for in the runbook."""

    code: int
    problem: str
    step: str
    reason: str = ""
    system: str = ""

    @property
    def text(self) -> str:
        return f"error: {self.problem}\nnext: {self.step}"

    @property
    def document(self) -> dict[str, str]:
        return {
            "problem": self.problem,
            "next": self.step,
            "reason": self.reason,
            "system": self.system,
        }


def problem_of(error: Exception) -> Problem:
    """Never a payload: of an error that the app does not know only the class is told."""
    match error:
        case CommandFailed():
            return Problem(error.code, error.problem, error.step)
        case ConfigurationError():
            step = (
                "correct these app settings, in the environment or in the file of --settings"
                " (docs/settings.md)"
            )
            return Problem(WRONG_USE, str(error), step, error.reason)
        case IntegrationError():
            # A system has reasons of its own for what is the same kind of trouble.
            step = _NEXT.get(error.reason) or _NEXT.get(type(error).reason) or _OTHERWISE
            what = f"{error.system}: {error.description} ({error.reason})"
            return Problem(FAILED, what, step, error.reason, error.system)
        case OSError():
            what = f"{error.strerror or type(error).__name__}: {error.filename or ''}"
            return Problem(FAILED, what, "check the file and its folder")
    what = f"unexpected {type(error).__name__}"
    return Problem(FAILED, what, "run it again with --debug and report what it prints")


def short(error: Exception) -> str:
    """For a cell of a table, where a part of the answer is missing."""
    if isinstance(error, IntegrationError):
        return f"{error.system}: {error.reason}"
    return type(error).__name__
