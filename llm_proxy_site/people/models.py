"""AuthenticatorApp: the app that makes somebody's codes. Its secret is encrypted: that is all in which it
differs from django-otp's TOTPDevice, whose column is too short for that.
"""

from typing import Any

import structlog
from django.db import models
from django_otp.models import Device, DeviceManager, ThrottlingMixin, TimestampMixin
from django_otp.oath import TOTP

from projects.concealed import Concealed
from projects.encryption import UndecryptableError, decrypt, encrypt

TOLERANCE = 1
"""So many steps of 30 s may a code be old or early. What the app's clock differs by is remembered."""

log = structlog.get_logger("people")


class AuthenticatorApp(Concealed, TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc]
    AUDITED_AS = "second_factor"

    drift = models.SmallIntegerField(default=0, help_text="Steps by which its clock differs from ours.")
    last_step = models.BigIntegerField(default=-1, help_text="Of the last code that was taken.")

    objects: Any = DeviceManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~models.Q(ciphertext=""), name="authenticator_app_has_a_secret"),
        ]

    def conceal(self, secret: bytes) -> None:
        self.ciphertext = encrypt(secret.hex())

    def reveal(self) -> bytes:
        """Raises UndecryptableError."""
        return bytes.fromhex(decrypt(self.ciphertext))

    def verify_token(self, token: str) -> bool:
        """Whether it is a code of now that was not taken yet. Who is wrong waits for the next attempt."""
        is_allowed, _ = self.verify_is_allowed()
        if not is_allowed:
            return False
        if not self._takes(token):
            self.throttle_increment(commit=True)
            return False
        self.throttle_reset(commit=False)
        self.set_last_used_timestamp(commit=False)
        self.save()
        return True

    def get_throttle_factor(self) -> Any:
        """Seconds after the first wrong code; twice as many after each further one."""
        return 1

    def _takes(self, token: str) -> bool:
        try:
            totp = TOTP(self.reveal(), drift=self.drift)
        except UndecryptableError:
            log.error("no key in ENCRYPTION_KEYS decrypts a second factor", user_id=self.user_id)
            return False
        if not token.isdecimal() or not totp.verify(int(token), TOLERANCE, self.last_step + 1):
            return False
        self.last_step, self.drift = totp.t(), totp.drift
        return True
