"""The five kinds of error; rooms subclass them beside their use."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: `path` is a JSON pointer ("/tiers/1/up_to"), `message` names the fix."""

    path: str
    message: str


class TollkeeperError(Exception):
    """An error that a caller can understand; `code` is stable, the message is for people."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InvalidInput(TollkeeperError):
    """The request is wrong; `fields` says where and how to mend it."""

    code = "invalid_input"

    def __init__(self, message: str, fields: tuple[FieldError, ...] = (), *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.fields = fields

    @classmethod
    def of(cls, path: str, message: str) -> "InvalidInput":
        """Build the error of a single field."""
        return cls(f"{path}: {message}", (FieldError(path, message),))


class NotFound(TollkeeperError):
    """Nothing of that name is here."""

    code = "not_found"


class NotAllowed(TollkeeperError):
    """The caller is known and may not do this."""

    code = "not_allowed"


class Conflict(TollkeeperError):
    """The state forbids it: a duplicate key, an issued document, a published version."""

    code = "conflict"


class Unavailable(TollkeeperError):
    """Something that we need is away; nothing was changed, try again."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def field_errors(problems: Mapping[str, str]) -> tuple[FieldError, ...]:
    """Turn {path: message} into field errors, in order."""
    return tuple(FieldError(path, message) for path, message in problems.items())
