"""What the doctor finds."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "hint", "warning", "failure"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do about it."""

    level: Level
    subject: str
    text: str
    advice: str = ""
