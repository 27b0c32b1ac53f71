"""Routes under /manage/prices: what model tokens cost, by model or pattern."""

from typing import Annotated, Any

from ninja import Path, Query, Router

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request
from llm_proxy_site.api.errors import NotFound
from llm_proxy_site.api.scopes import ApiScope
from usage import schemas
from usage.lifecycle import remove_price, set_price
from usage.models import ModelPrice
from usage.price_facts import holding_prices
from usage.price_overrides import price_facts

router = Router(tags=["prices"])

READ = needs(ApiScope.PRICES_READ, "usage.view_modelprice")
CHANGE = needs(ApiScope.PRICES_WRITE, "usage.change_modelprice")
REMOVE = needs(ApiScope.PRICES_WRITE, "usage.delete_modelprice")
Model = Annotated[schemas.ModelName, Path()]


@router.get(
    "",
    auth=READ,
    response=schemas.Prices,
    operation_id="list_prices",
    summary="List the prices that were set, or those that hold for models",
)
def list_prices(request: Request, query: Query[schemas.PriceQuery]) -> dict[str, Any]:
    if query.model:
        return {"data": holding_prices(query.model)}
    return {"data": [_facts(price) for price in ModelPrice.objects.all()]}


@router.put(
    "/{path:model}",
    auth=CHANGE,
    response=schemas.ModelPrice,
    operation_id="set_price",
    summary="Set the price of a model, or of a pattern such as my-model-*",
)
def put_price(request: Request, model: Model, body: schemas.PriceNew) -> dict[str, Any]:
    """Every process charges it within 10 s."""
    price = ModelPrice.objects.filter(model=model.strip()).first() or ModelPrice(model=model)
    for field, value in body.model_dump().items():
        setattr(price, field, value)
    set_price(price, actor=request.auth.actor)
    return _facts(price)


@router.delete(
    "/{path:model}",
    auth=REMOVE,
    response=schemas.ModelPrice,
    operation_id="remove_price",
    summary="Forget the price that was set: the known one holds again",
)
def delete_price(request: Request, model: Model) -> dict[str, Any]:
    price = ModelPrice.objects.filter(model=model.strip()).first()
    if price is None:
        raise NotFound("price that was set for this model")
    facts = _facts(price)
    remove_price(price, actor=request.auth.actor)
    return facts


def _facts(price: ModelPrice) -> dict[str, Any]:
    return {**price_facts(price), "source": "override"}
