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


_NEWEST = paging.Newest(ProductState, "preorder_products.products", "product_id", filters=("status",), make=product_of)


async def newest(session: Session, query: ListProducts) -> Page[ProductState]:
    """One page of models, newest first."""
    return await _NEWEST.page(session, query)
