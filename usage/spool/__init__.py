"""Finished requests on disk until the database has them, so that nothing is lost: neither with a process
that is killed nor while the database is away.
"""
