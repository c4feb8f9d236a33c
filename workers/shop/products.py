"""Shop: products and their stock.

RegisterProduct -> ProductRegistered
ChangeProduct   -> ProductChanged
RestockProduct  -> ProductRestocked
TakeStock       -> StockTaken      (the whole quantity, once for each order and round)
ReturnStock     -> StockReturned   (also if there was nothing to return; it closes the round)
"""

from __future__ import annotations

from contracts.base import Page, Refused
from contracts.shop.products import (
    ChangeProduct,
    ListProducts,
    ProductChanged,
    ProductRegistered,
    ProductRestocked,
    ProductState,
    RegisterProduct,
    RestockProduct,
    ReturnStock,
    ShowProduct,
    StockReturned,
    StockTake,
    StockTaken,
    TakeStock,
)
from contracts.shop.refusals import OutOfStock, RoundClosed
from contracts.shop.states import OrderStatus
from storage.database import Session
from storage.shop import products as store
from workers.runtime.processing.tx import RetryableNotFound, Tx, unchanged
from workers.runtime.worker import Worker

worker = products = Worker("shop.products")


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


@products.handles(RestockProduct)
async def restock_product(command: RestockProduct, tx: Tx) -> ProductState:
    product = await store.restock(tx, command)
    if product is None:
        raise unchanged(await store.find(tx, command.product_id))
    tx.publish(ProductRestocked.of(product))
    return product


@products.handles(TakeStock)
async def take_stock(command: TakeStock, tx: Tx) -> StockTake | Refused:
    state, changed = await store.take(tx, command)
    match state:
        case "TAKEN":
            if changed is not None:
                tx.publish(StockTaken.of(changed, **_of_order(command, OrderStatus.CONFIRMING, command.quantity)))
            return StockTake(**vars(command))
        case "OUT_OF_STOCK":
            return OutOfStock()
        case "RETURNED":
            return RoundClosed()
    raise RetryableNotFound


@products.handles(ReturnStock)
async def return_stock(command: ReturnStock, tx: Tx) -> None:
    quantity, product = await store.return_stock(tx, command)
    if product is not None:
        tx.publish(StockReturned.of(product, **_of_order(command, command.order_status, quantity)))


def _of_order(command: TakeStock | ReturnStock, status: OrderStatus, quantity: int) -> dict[str, object]:
    return {
        "order_id": command.order_id,
        "order_status": status,
        "round": command.round,
        "quantity": quantity,
    }


@products.handles(ShowProduct)
async def show_product(query: ShowProduct, session: Session) -> ProductState:
    product = await store.find(session, query.product_id)
    if product is None:
        raise RetryableNotFound
    return product


@products.handles(ListProducts)
async def list_products(query: ListProducts, session: Session) -> Page[ProductState]:
    return await store.newest(session, query)
