"""What rows have in common that hold a secret: it is encrypted with the first of ENCRYPTION_KEYS, and
`rotate_encryption_keys` finds it.
"""

from typing import ClassVar

from django.db import models


class Concealed(models.Model):
    AUDITED_AS: ClassVar[str]
    """What the audit trail calls it."""
    IS_ONE_OF_MANY: ClassVar[bool] = False
    """Whether rows are large and many: an event for each would bury the trail, and few are read at a time."""

    ciphertext = models.TextField(editable=False)

    class Meta:
        abstract = True
