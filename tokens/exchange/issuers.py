"""Which URLs may be an issuer's, or of its keys: https, or plain http on this machine where permitted."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

MAX_URL = 255
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_fetchable(url: str, *, permits_loopback: bool) -> bool:
    """Whether documents may be fetched from there at all. Nothing in it can be a secret."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or "#" in url or "\\" in url:
        return False
    is_loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
    return parts.scheme == "https" or (permits_loopback and is_loopback)


def validate_issuer(url: str) -> None:
    """For Django. Raises ValidationError."""
    if "?" in url or not is_fetchable(url, permits_loopback=settings.EXCHANGE_LOOPBACK_HTTP):
        raise ValidationError(
            "An issuer is an https URL without user name, query and fragment, as its JWTs have it in `iss`."
        )


def discovery_url(issuer: str) -> str:
    """OpenID Connect Discovery 1.0, section 4."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"
