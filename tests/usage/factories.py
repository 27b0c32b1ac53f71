"""Rows of the ledger's app for tests, with valid defaults."""

# mypy: disallow-subclassing-any=False

from decimal import Decimal

import factory
from factory.django import DjangoModelFactory

from usage.models import ModelPrice


class ModelPriceFactory(DjangoModelFactory[ModelPrice]):
    class Meta:
        model = ModelPrice

    model = factory.Sequence("model-{}".format)
    input_price = Decimal("2")
    output_price = Decimal("8")
