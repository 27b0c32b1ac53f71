"""Texts in CSV files: none that a spreadsheet runs when somebody opens the file."""

WIDE = ("\uff1d", "\uff0b", "\uff0d", "\uff20")
"""= + - @ as wide as Chinese characters are: some programs take them for the usual ones."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *WIDE)
"""What begins one."""


def harmless(text: str) -> str:
    """As it is, or with a `'` before it. Spaces before a formula do not keep it from being one."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
