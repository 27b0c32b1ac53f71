"""The management API under /manage/: what its routes share. Each app has its routes in its own `api.py`."""
