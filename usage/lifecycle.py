"""What can be done to the price of a model. Every act is one transaction with its audit event."""

from django.db import transaction

from audit import trail
from usage.models import ModelPrice
from usage.price_overrides import price_facts


@transaction.atomic
def set_price(price: ModelPrice, *, actor: str) -> bool:
    """Store a new or an edited price; True if that was a change. Every process charges it within 10 s.

    Raises ValidationError.
    """
    price.model = price.model.strip()
    price.full_clean()
    stored = ModelPrice.objects.filter(pk=price.pk).first()
    before = price_facts(stored) if stored else None
    after = price_facts(price)
    if after == before:
        return False
    price.save()
    trail.record("price.set", price, actor=actor, details={**after, "before": before})
    return True


@transaction.atomic
def remove_price(price: ModelPrice, *, actor: str) -> None:
    """Forget it: what genai-prices knows holds again."""
    trail.record("price.removed", price, actor=actor, details=price_facts(price))
    price.delete()
