"""What one signs in with: name, password, and the code of those who use a second factor."""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from llm_proxy_site.people import second_factor

WRONG = "That code is not right, or not any more. Wait for the next one."


class CodeField(forms.CharField):
    widget = forms.TextInput(attrs={"autocomplete": "one-time-code", "spellcheck": "false"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=40, **kwargs)


class SignInForm(AdminAuthenticationForm):
    code = CodeField(required=False, help_text="If you use a second factor: of your app, or for recovery.")

    def clean(self) -> dict[str, Any]:
        """The code is asked for, and looked at, only once the password is right."""
        cleaned: dict[str, Any] = super().clean()
        user = self.get_user()
        if not isinstance(user, User) or not second_factor.is_enrolled(user):  # nobody: a field was empty
            return cleaned
        if not cleaned.get("code"):
            raise ValidationError("Type your password again, and the code from your app.", code="no_code")
        device = second_factor.check(user, cleaned["code"])
        if device is None:
            raise ValidationError(WRONG, code="wrong_code")
        user.otp_device = device  # type: ignore[attr-defined]  # django-otp remembers it with the session
        return cleaned


class CodeForm(forms.Form):
    code = CodeField(help_text="Six digits, from your app.")
