"""What rows have in common that hold a secret: it is encrypted with the first of ENCRYPTION_KEYS, and
`rotate_encryption_keys` finds it.
"""

from typing import ClassVar

from django.db import models


class Concealed(models.Model):
    AUDITED_AS: ClassVar[str]
    """What the audit trail calls it."""

    ciphertext = models.TextField(editable=False)

    class Meta:
        abstract = True
