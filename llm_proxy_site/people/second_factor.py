"""The second factor: a code of six digits that an app makes from a secret (TOTP), and recovery codes beside.

The secret is encrypted; django-otp slows down who guesses. Of recovery codes only a digest is stored.
"""

import secrets
from base64 import b32encode
from dataclasses import dataclass
from hashlib import sha256

import segno
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.safestring import SafeString, mark_safe
from django_otp import verify_token
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from audit import trail
from llm_proxy_site.people.models import AuthenticatorApp

RECOVERY_CODES = 10
DIGITS = 6
SECRET_BYTES = 20
"""As many as SHA-1 has: RFC 4226, section 4."""


@dataclass(frozen=True, slots=True)
class Secret:
    """For the app: as text to type, and as the address that its own links have."""

    text: str
    uri: str
    qr_code: SafeString
    """Of the address, as an SVG element."""


def is_enrolled(user: User) -> bool:
    return bool(AuthenticatorApp.objects.filter(user=user, confirmed=True).exists())


@transaction.atomic
def begin(user: User) -> Secret:
    """A new secret, which counts for nothing until a code of it was given. One before it is forgotten."""
    AuthenticatorApp.objects.filter(user=user, confirmed=False).delete()
    device = AuthenticatorApp(user=user, name="app", confirmed=False)
    secret = secrets.token_bytes(SECRET_BYTES)
    device.conceal(secret)
    device.save()
    uri = TOTPDevice(user=user, key=secret.hex()).config_url  # it is saved nowhere
    return Secret(b32encode(secret).decode().rstrip("="), uri, _qr_code(uri))


@transaction.atomic
def confirm(user: User, code: str, *, actor: str) -> tuple[Device, list[str]] | None:
    """Demand a code from now on, if this is one: the device, and recovery codes, which exist only here."""
    device = AuthenticatorApp.objects.select_for_update().filter(user=user, confirmed=False).first()
    if device is None or not device.verify_token(_typed(code)):
        return None
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    trail.record("user.second_factor_added", user, actor=actor)
    return device, _make_recovery_codes(user)


def check(user: User, code: str) -> Device | None:
    """What vouches for the user, if this is a code of the app or a recovery code, which is then used up."""
    typed = _typed(code)
    is_from_app = len(typed) == DIGITS and typed.isdecimal()
    device = (
        (AuthenticatorApp if is_from_app else StaticDevice).objects.filter(user=user, confirmed=True).first()
    )
    if device is None:
        return None
    found: Device | None = verify_token(user, device.persistent_id, typed if is_from_app else _digest(typed))
    return found


@transaction.atomic
def remove(user: User, *, actor: str) -> bool:
    """Demand no code any more; True if one was demanded."""
    was_enrolled = is_enrolled(user)
    AuthenticatorApp.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    if was_enrolled:
        trail.record("user.second_factor_removed", user, actor=actor)
    return was_enrolled


def _make_recovery_codes(user: User) -> list[str]:
    """80 random bits each, in groups of four characters."""
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=_digest(code)) for code in codes)
    return ["-".join(code[start : start + 4] for start in range(0, 16, 4)) for code in codes]


def _qr_code(uri: str) -> SafeString:
    """Black on white in every theme: many apps read nothing else. No style in it: our policy permits none."""
    code = segno.make(uri, error="m")
    svg = code.svg_inline(dark="#000", light="#fff", title="QR code of the secret", omitsize=True)
    return mark_safe(svg)  # noqa: S308 (made of squares: no text of anybody's is in it)


def _typed(code: str) -> str:
    return code.replace(" ", "").replace("-", "").lower()


def _digest(code: str) -> str:
    """As much of it as django-otp's column holds: 64 bits."""
    return sha256(code.encode()).hexdigest()[:16]
