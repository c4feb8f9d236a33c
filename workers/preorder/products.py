"""Phone pre-order: the phone models on offer.

RegisterProduct -> ProductRegistered
ChangeProduct   -> ProductChanged
"""

from __future__ import annotations

from contracts.base import Page
from contracts.preorder.products import (
    ChangeProduct,
    ListProducts,
    ProductChanged,
    ProductRegistered,
    ProductState,
    RegisterProduct,
    ShowProduct,
)
from storage.database import Session
from storage.preorder import products as store
from workers.runtime.processing.tx import RetryableNotFound, Tx, unchanged
from workers.runtime.worker import Worker

worker = products = Worker("preorder.products")


@products.handles(RegisterProduct, replays=store.find)
async def register_product(command: RegisterProduct, tx: Tx) -> ProductState:
    product = await store.register(tx, tx.id, command)
    tx.publish(ProductRegistered.of(product))
    return product


@products.handles(ChangeProduct)
async def change_product(command: ChangeProduct, tx: Tx) -> ProductState:
    product = await store.change(tx, command)
    if product is None:
        raise unchanged(await store.find(tx, command.product_id))
    tx.publish(ProductChanged.of(product))
    return product


@products.handles(ShowProduct)
async def show_product(query: ShowProduct, session: Session) -> ProductState:
    product = await store.find(session, query.product_id)
    if product is None:
        raise RetryableNotFound
    return product


@products.handles(ListProducts)
async def list_products(query: ListProducts, session: Session) -> Page[ProductState]:
    return await store.newest(session, query)
