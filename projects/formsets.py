"""The admin's tables of rows to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

if TYPE_CHECKING:
    InlineFormSet = forms.BaseInlineFormSet[Any, Any, forms.ModelForm[Any]]
else:
    InlineFormSet = forms.BaseInlineFormSet


class LabelledFormSet(InlineFormSet):
    """Labels stand in the table's head alone, so each field has its own for who cannot see that."""

    def add_fields(self, form: forms.ModelForm[Any], index: int | None) -> None:
        super().add_fields(form, index)
        for field in form.fields.values():
            field.widget.attrs["aria-label"] = field.label
