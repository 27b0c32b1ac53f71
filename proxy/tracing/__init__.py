"""OpenTelemetry traces: made of what a request has noted when it has ended, sent by a thread of their own.

Without a collector nothing of it runs, and no library for it is imported.
"""
