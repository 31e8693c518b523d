"""The one error root of the evaluator: a message for people, a hint, and a documented exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import Optional


class ExitCode(IntEnum):
    """The exit codes of `bevformer-eval`; they are part of its interface."""

    OK = 0
    FAILED = 1
    USAGE = 2
    HOST = 3
    DATA = 4
    WEIGHTS = 5
    STORAGE = 6
    INTERRUPTED = 130


class EvalError(Exception):
    """What went wrong in one line, what to do about it, and the exit code to end with."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "", exit_code: Optional[ExitCode] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class GateError(EvalError):
    """A comparison or a gate did not hold."""

    exit_code = ExitCode.FAILED


class UsageError(EvalError):
    """The options contradict each other or ask for what this installation does not hold."""

    exit_code = ExitCode.USAGE


class HostError(EvalError):
    """The GPU, its driver or its memory does not serve the request."""

    exit_code = ExitCode.HOST


class DataError(EvalError):
    """The nuScenes data, its CAN bus or a tar is missing, cut off or malformed."""

    exit_code = ExitCode.DATA


class WeightsError(EvalError):
    """The checkpoint is another model's, damaged, or not what its hash says."""

    exit_code = ExitCode.WEIGHTS


class StorageError(EvalError):
    """The work directory cannot be written: no permission or no space."""

    exit_code = ExitCode.STORAGE
