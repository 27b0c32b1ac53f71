"""What a page wants to see, as it says so. Every text is a part of what it is looked for in, in any case."""

from typing import Annotated

import msgspec

from usage.live.names import Names
from usage.live.row import LiveRow

Text = Annotated[str, msgspec.Meta(max_length=200)]


class Filter(msgspec.Struct, frozen=True):
    project: Text = ""
    """Of its name, or its whole id."""
    token: Text = ""
    """Of its name or of what is shown of it, or its whole id."""
    model: Text = ""
    path: Text = ""
    status: Text = ""
    """Its beginning: `4` is every 4xx."""
    outcome: Text = ""
    """The whole."""

    def fits(self, row: LiveRow, names: Names) -> bool:
        return (
            (not self.outcome or self.outcome == row.outcome)
            and (not self.status or str(row.status or "").startswith(self.status))
            and self.fits_running(row, names)
        )

    def fits_running(self, row: LiveRow, names: Names) -> bool:
        """What has not ended has no outcome, and is not looked at for one, nor for a status."""
        return (
            _is_in(self.model, row.model)
            and _is_in(self.path, row.path)
            and _is_in(self.project, names.project, row.project_id)
            and _is_in(self.token, f"{names.token}\n{names.display}", row.token_id)
        )

    @property
    def takes_all_that_runs(self) -> bool:
        return not (self.project or self.token or self.model or self.path)


class Wish(msgspec.Struct, frozen=True):
    filter: Filter = Filter()
    filter_number: int = 0
    """The page's own count of its filters: messages say to which one they belong."""
    is_paused: bool = False


read_wish = msgspec.json.Decoder(Wish).decode
"""Raises msgspec.DecodeError."""


def _is_in(text: str, whole: str, row_id: object = None) -> bool:
    return not text or text.casefold() in whole.casefold() or text == str(row_id)
