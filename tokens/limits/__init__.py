"""The limits of tokens and projects, acquired for a request in one atomic step and settled at its end.

`values.py` says what is counted, `verdict.py` what a refusal says; `memory.py` counts for one process and
`redis.py` for many, `fallback.py` for one while Redis is away.
"""
