"""Shop: products, and the stock that each order took in each of its rounds (`takes`).

`stock + (sum of TAKEN quantities) = supplied` always holds: each statement that changes a stock locks the product.
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
    select :product_id, :name, :price, initial, initial, 'ON_SALE', :registered_by
    from (select cast(:stock as bigint) as initial) supply returning *""")


async def register(session: Session, product_id: UUID, command: RegisterProduct) -> ProductState:
    """Insert a product with its initial stock."""
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
    where product_id = :product_id
      and (cast(:expected_version as integer) is null or version = :expected_version) returning *""")


async def change(session: Session, command: ChangeProduct) -> ProductState | None:
    """Change the fields that are given; None when there is no such product, or it has another version."""
    row = await session.one(
        _CHANGE,
        product_id=command.product_id,
        name=command.name,
        price=command.price,
        status=command.status,
        expected_version=command.expected_version,
    )
    return product_of(row) if row else None


_RESTOCK = Statement("""
    update shop_products.products set stock = stock + cast(:quantity as integer),
      supplied = supplied + cast(:quantity as integer),
      modified_at = now(), version = version + 1
    where product_id = :product_id
      and (cast(:expected_version as integer) is null or version = :expected_version) returning *""")


async def restock(session: Session, command: RestockProduct) -> ProductState | None:
    """Add to the stock of a product; None when there is no such product, or it has another version."""
    row = await session.one(
        _RESTOCK,
        product_id=command.product_id,
        quantity=command.quantity,
        expected_version=command.expected_version,
    )
    return product_of(row) if row else None


# -- stock of orders

_TAKE = Statement("""
    with product as (
      select product_id, stock from shop_products.products where product_id = :product_id for update),
    inserted as (
      insert into shop_products.takes (order_id, round, product_id, quantity, state)
      select :order_id, :round, product_id, cast(:quantity as integer),
        case when stock >= cast(:quantity as integer) then 'TAKEN' else 'OUT_OF_STOCK' end from product
      on conflict do nothing returning product_id, quantity, state),
    changed as (
      update shop_products.products p set stock = p.stock - inserted.quantity, modified_at = now(),
        version = version + 1
      from inserted where p.product_id = inserted.product_id and inserted.state = 'TAKEN' returning p.*)
    select inserted.state as take, changed.* from inserted left join changed on true""")

_STATE = Statement("select state from shop_products.takes where order_id = :order_id and round = :round")


async def take(session: Session, command: TakeStock) -> tuple[str | None, ProductState | None]:
    """Take the whole quantity or nothing.

    Returns the state of the round's take (TAKEN, OUT_OF_STOCK, RETURNED; None when there is no such product), and the
    product if this call changed its stock.
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
      insert into shop_products.takes as existing (order_id, round, product_id, quantity, state)
      select :order_id, :round, :product_id, 0, 'RETURNED' from (select count(*) from product) locked
      on conflict (order_id, round) do update set state = 'RETURNED', modified_at = now(),
        returned = case when existing.state = 'TAKEN' then existing.quantity else 0 end
        where existing.state <> 'RETURNED'
      returning product_id, returned)
    update shop_products.products p set stock = p.stock + closed.returned, modified_at = now(), version = version + 1
    from closed where p.product_id = closed.product_id and closed.returned > 0
    returning p.*, closed.returned""")


async def return_stock(session: Session, command: ReturnStock) -> tuple[int, ProductState | None]:
    """Close a round and return the stock that it took: the returned quantity, and the product after that."""
    row = await session.one(_RETURN, product_id=command.product_id, order_id=command.order_id, round=command.round)
    if row is None:
        return 0, await find(session, command.product_id)
    return row["returned"], product_of(row)


# -- queries

_FIND = Statement("select * from shop_products.products where product_id = :product_id")


async def find(session: Session, product_id: UUID) -> ProductState | None:
    """A product; None when there is none."""
    row = await session.one(_FIND, product_id=product_id)
    return product_of(row) if row else None


_NEWEST = paging.Newest(ProductState, "shop_products.products", "product_id", filters=("status",), make=product_of)


async def newest(session: Session, query: ListProducts) -> Page[ProductState]:
    """One page of products, newest first."""
    return await _NEWEST.page(session, query)
