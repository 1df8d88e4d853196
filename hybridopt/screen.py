"""What commands show on a terminal: plain lines, and a bar while they work."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def console() -> Console:
    """Where reports go: the terminal, or plain lines of 120 characters."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def bar(console: Console) -> Progress:
    """A bar of what is finished and the time left; none where no terminal can show it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
