"""`manage.py chat`: a person, or a pipe, talks to a model through the proxy, as any other client."""
