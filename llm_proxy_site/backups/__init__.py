"""Backups of the database, and restoring them: by its own means, for each kind of database."""
