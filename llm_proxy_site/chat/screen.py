"""What a person sees. Through a pipe standard output has the answers only, standard error all else."""

import sys
from contextlib import suppress
from typing import TextIO

from rich.text import Text

from llm_proxy_site.terminal import NO_CONTROLS, console


class Screen:
    def __init__(self, out: TextIO, error: TextIO) -> None:
        self.is_interactive = sys.stdin.isatty() and out.isatty()
        self._out = console(out)
        notes = console(error)
        self._notes = self._out if self.is_interactive else notes
        if self.is_interactive:
            with suppress(ImportError):
                import readline  # noqa: F401 (arrow keys and history for `input`)

    def ask(self) -> str | None:
        """The next line; None: there is none. Raises KeyboardInterrupt."""
        try:
            return input("> " if self.is_interactive else "").strip()
        except EOFError:
            return None

    def piece(self, text: str) -> None:
        """Of an answer, as it comes."""
        shown = text.translate(NO_CONTROLS) if self._out.is_terminal else text
        self._out.file.write(shown)
        self._out.file.flush()

    def end_of_answer(self) -> None:
        self._out.print()

    def note(self, text: str) -> None:
        self._notes.print(Text(text, style="dim"), soft_wrap=True)

    def problem(self, text: str) -> None:
        self._notes.print(Text(text.translate(NO_CONTROLS), style="red"), soft_wrap=True)
