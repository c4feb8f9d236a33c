"""Phone pre-order: the models on offer.

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
from workers.runtime.processing.tx import NotKnownYet, Tx
from workers.runtime.worker import Worker

worker = products = Worker("preorder.products")


@products.on(RegisterProduct)
async def register_product(command: RegisterProduct, tx: Tx) -> ProductState:
    product = await store.register(tx, tx.id, command)
    tx.publish(ProductRegistered.of(product))
    return product


@products.on(ChangeProduct)
async def change_product(command: ChangeProduct, tx: Tx) -> ProductState:
    product = await store.change(tx, command)
    if product is None:
        raise NotKnownYet
    tx.publish(ProductChanged.of(product))
    return product


@products.on(ShowProduct)
async def show_product(question: ShowProduct, session: Session) -> ProductState:
    product = await store.find(session, question.product_id)
    if product is None:
        raise NotKnownYet
    return product


@products.on(ListProducts)
async def list_products(question: ListProducts, session: Session) -> Page[ProductState]:
    return await store.newest(session, question)
