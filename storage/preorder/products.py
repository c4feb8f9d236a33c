"""Phone pre-order: the phone models on offer."""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.preorder.products import ChangeProduct, ListProducts, ProductState, RegisterProduct
from storage import paging
from storage.database import Row, Session, Statement


def product_of(row: Row) -> ProductState:
    return ProductState.model_validate(dict(row))


_REGISTER = Statement("""
    insert into preorder_products.products (product_id, name, price, quota, status, registered_by)
    values (:product_id, :name, :price, :quota, 'OPEN', :registered_by) returning *""")


async def register(session: Session, product_id: UUID, command: RegisterProduct) -> ProductState:
    """Insert a model that is OPEN."""
    row = await session.one(
        _REGISTER,
        product_id=product_id,
        name=command.name,
        price=command.price,
        quota=command.quota,
        registered_by=command.caller.member_id,
    )
    return product_of(row or {})


_CHANGE = Statement("""
    update preorder_products.products set price = coalesce(cast(:price as bigint), price),
      quota = coalesce(cast(:quota as integer), quota), status = coalesce(cast(:status as text), status),
      modified_at = now(), version = version + 1
    where product_id = :product_id
      and (cast(:expected_version as integer) is null or version = :expected_version) returning *""")


async def change(session: Session, command: ChangeProduct) -> ProductState | None:
    """Change the fields that are given; None when there is no such product, or it has another version."""
    row = await session.one(
        _CHANGE,
        product_id=command.product_id,
        price=command.price,
        quota=command.quota,
        status=command.status,
        expected_version=command.expected_version,
    )
    return product_of(row) if row else None


_FIND = Statement("select * from preorder_products.products where product_id = :product_id")


async def find(session: Session, product_id: UUID) -> ProductState | None:
    """A model; None when there is none."""
    row = await session.one(_FIND, product_id=product_id)
    return product_of(row) if row else None


_NEWEST = Statement("""
    select * from preorder_products.products
    where (cast(:status as text) is null or status = :status)
      and (cast(:at as timestamptz) is null or (created_at, product_id) < (:at, cast(:id as uuid)))
    order by created_at desc, product_id desc limit :limit""")


async def newest(session: Session, query: ListProducts) -> Page[ProductState]:
    """One page of models, newest first."""
    at, id = paging.decode(query.cursor)
    rows = await session.all(_NEWEST, status=query.status, at=at, id=id, limit=query.limit + 1)
    items, cursor = paging.page(rows, query.limit, product_of, lambda product: (product.created_at, product.product_id))
    return Page[ProductState](items=items, next_cursor=cursor)
