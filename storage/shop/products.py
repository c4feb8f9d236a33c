"""Shop: products, and the stock that each order took in each of its rounds.

`stock + what is TAKEN = supplied` always holds. Whoever changes a stock locks the product first.
"""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.shop.products import (
    ChangeProduct,
    ListProducts,
    ProductState,
    RegisterProduct,
    RestockProduct,
    ReturnStock,
    TakeStock,
)
from storage import paging
from storage.database import Row, Session, Statement


def product_of(row: Row) -> ProductState:
    return ProductState.model_validate(dict(row))


_REGISTER = Statement("""
    insert into shop_products.products (product_id, name, price, stock, supplied, status, registered_by)
    select :product_id, :name, :price, came, came, 'ON_SALE', :registered_by
    from (select cast(:stock as bigint) as came) supply returning *""")


async def register(session: Session, product_id: UUID, command: RegisterProduct) -> ProductState:
    row = await session.one(
        _REGISTER,
        product_id=product_id,
        name=command.name,
        price=command.price,
        stock=command.stock,
        registered_by=command.caller.member_id,
    )
    assert row is not None
    return product_of(row)


_CHANGE = Statement("""
    update shop_products.products set name = coalesce(cast(:name as text), name),
      price = coalesce(cast(:price as bigint), price), status = coalesce(cast(:status as text), status),
      modified_at = now(), version = version + 1
    where product_id = :product_id returning *""")


async def change(session: Session, command: ChangeProduct) -> ProductState | None:
    """Change what is given; None when there is no such product."""
    row = await session.one(
        _CHANGE, product_id=command.product_id, name=command.name, price=command.price, status=command.status
    )
    return product_of(row) if row else None


_RESTOCK = Statement("""
    update shop_products.products set stock = stock + cast(:quantity as integer),
      supplied = supplied + cast(:quantity as integer),
      modified_at = now(), version = version + 1
    where product_id = :product_id returning *""")


async def restock(session: Session, command: RestockProduct) -> ProductState | None:
    """More of a product has come; None when there is no such product."""
    row = await session.one(_RESTOCK, product_id=command.product_id, quantity=command.quantity)
    return product_of(row) if row else None


# -- what orders take and return

_TAKE = Statement("""
    with product as (
      select product_id, stock from shop_products.products where product_id = :product_id for update),
    made as (
      insert into shop_products.takes (order_id, round, product_id, quantity, state)
      select :order_id, :round, product_id, cast(:quantity as integer),
        case when stock >= cast(:quantity as integer) then 'TAKEN' else 'OUT_OF_STOCK' end from product
      on conflict do nothing returning product_id, quantity, state),
    changed as (
      update shop_products.products p set stock = p.stock - made.quantity, modified_at = now(), version = version + 1
      from made where p.product_id = made.product_id and made.state = 'TAKEN' returning p.*)
    select made.state as take, changed.* from made left join changed on true""")

_STATE = Statement("select state from shop_products.takes where order_id = :order_id and round = :round")


async def take(session: Session, command: TakeStock) -> tuple[str | None, ProductState | None]:
    """Take the whole quantity or nothing: how the round's take stands, and the product if this changed it.

    The state is None when there is no such product.
    """
    row = await session.one(
        _TAKE,
        product_id=command.product_id,
        order_id=command.order_id,
        round=command.round,
        quantity=command.quantity,
    )
    if row is None:
        return await session.value(_STATE, order_id=command.order_id, round=command.round), None
    return row["take"], product_of(row) if row["take"] == "TAKEN" else None


_RETURN = Statement("""
    with product as (
      select product_id from shop_products.products where product_id = :product_id for update),
    closed as (
      insert into shop_products.takes as mine (order_id, round, product_id, quantity, state)
      select :order_id, :round, :product_id, 0, 'RETURNED' from (select count(*) from product) locked
      on conflict (order_id, round) do update set state = 'RETURNED', modified_at = now(),
        returned = case when mine.state = 'TAKEN' then mine.quantity else 0 end
        where mine.state <> 'RETURNED'
      returning product_id, returned)
    update shop_products.products p set stock = p.stock + closed.returned, modified_at = now(), version = version + 1
    from closed where p.product_id = closed.product_id and closed.returned > 0
    returning p.*, closed.returned""")


async def give_back(session: Session, command: ReturnStock) -> tuple[int, ProductState | None]:
    """Close a round, and put back what it took: how much that was, and the product as it is then."""
    row = await session.one(_RETURN, product_id=command.product_id, order_id=command.order_id, round=command.round)
    if row is None:
        return 0, await find(session, command.product_id)
    return row["returned"], product_of(row)


# -- looking

_FIND = Statement("select * from shop_products.products where product_id = :product_id")


async def find(session: Session, product_id: UUID) -> ProductState | None:
    row = await session.one(_FIND, product_id=product_id)
    return product_of(row) if row else None


_NEWEST = Statement("""
    select * from shop_products.products
    where (cast(:status as text) is null or status = :status)
      and (cast(:at as timestamptz) is null or (created_at, product_id) < (:at, cast(:id as uuid)))
    order by created_at desc, product_id desc limit :most""")


async def newest(session: Session, query: ListProducts) -> Page[ProductState]:
    at, id = paging.decode(query.cursor)
    rows = await session.all(_NEWEST, status=query.status, at=at, id=id, most=query.limit + 1)
    items, cursor = paging.page(rows, query.limit, product_of, lambda one: (one.created_at, one.product_id))
    return Page[ProductState](items=items, next_cursor=cursor)
