"""What can go wrong with a backup, as sentences for the operator."""


class BackupError(Exception):
    """It was not made, or cannot be used."""
