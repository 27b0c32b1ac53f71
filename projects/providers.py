"""Which providers a project may name. Whoever has them says at start how to ask for their names."""

from collections.abc import Callable, Collection

from django.core.exceptions import ValidationError

Names = Callable[[], Collection[str]]
"""Raises a ValueError whose message is fit for a user where they cannot be had."""

_names: Names = tuple


def ask_for_names(names: Names) -> None:
    """Let `check_provider` ask here from now on."""
    global _names
    _names = names


def check_provider(name: str) -> None:
    """Raises ValidationError for one that is not configured; the empty name stands for the first."""
    if not name:
        return
    try:
        names = _names()
    except ValueError as problem:
        raise ValidationError(f"The providers cannot be read. {problem}") from None
    if name not in names:
        raise ValidationError(f"There is no provider {name!r}. Configured: {', '.join(names)}.")
