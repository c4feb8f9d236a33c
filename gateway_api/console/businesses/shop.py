"""The shop: order, transfer the money, wait for the delivery; the seller confirms deposits."""

from __future__ import annotations

from datetime import datetime

from contracts.shop.refusals import DeadlinePassed
from gateway_api.console.actions import (
    REASON_FIELD,
    Action,
    Business,
    FormField,
    Item,
    Listing,
    Registrations,
    Shown,
    status_in,
)
from gateway_api.console.words import (
    CREATED,
    MEMBER,
    PRICE,
    CodeText,
    Count,
    Fact,
    Money,
    NextStep,
    State,
    Text,
    Timestamp,
    reason_facts,
    unknown_state,
)
from gateway_api.gateway import ANY, STAFF

API = "/v1/shop"

STATES = {
    "ORDER_PLACED": State("주문접수", "Order placed", "good"),
    "AWAITING_PAYMENT": State("입금확인대기", "Awaiting the transfer", "wait"),
    "CONFIRMING": State("입금확인중", "Confirming", "wait"),
    "PAYMENT_CONFIRMED": State("입금확인완료", "Transfer confirmed", "good"),
    "PREPARING": State("상품준비완료", "Goods ready", "good"),
    "DELIVERING": State("배송중", "On its way", "good"),
    "CLOSED": State("수령확인", "Received", "neutral"),
    "ORDER_CANCELLED": State("주문취소", "Cancelled", "neutral"),
    "PAYMENT_CANCELLED": State("결제취소", "Payment cancelled", "bad"),
}
PRODUCT_STATES = {"ON_SALE": State("판매중", "On sale", "good"), "RETIRED": State("판매 종료", "Retired", "neutral")}
DELIVERY_STATES = {
    "PREPARING": State("준비중", "Being prepared", "wait"),
    "DELIVERING": State("배송중", "On its way", "good"),
    "DELIVERED": State("배송완료", "Delivered", "neutral"),
}
TRANSFER_STATES = {
    "AWAITING_TRANSFER": State("입금 대기", "Awaited", "wait"),
    "TRANSFER_CONFIRMED": State("입금 확인", "Confirmed", "good"),
    "TRANSFER_CANCELLED": State("입금 취소", "Cancelled", "neutral"),
}
NEXT = {
    "TRANSFER": Text("기한까지 입금하면 판매자가 확인합니다", "Transfer the money; the seller confirms it"),
    "WAIT_FOR_STOCK": Text("입금과 재고를 아직 확인하고 있습니다", "We are still checking deposit and stock"),
    "WAIT_FOR_DELIVERY": Text("배송을 준비하고 있습니다", "The delivery is being prepared"),
    "CONFIRM_RECEIPT": Text("받았으면 수령을 확인해 주세요", "Confirm when you have it"),
    "REFUND": Text("입금액을 돌려드립니다", "The money is to be given back"),
}
NAME, STOCK, QUANTITY = Text("이름", "Name"), Text("재고", "In stock"), Text("수량", "Quantity")
TOTAL, DEADLINE, OWED = Text("금액", "Total"), Text("입금 기한", "Transfer by"), Text("돌려줄 돈", "To give back")


NO_STOCK = State("재고 없음", "Out of stock", "wait")


def _product_state(product: Item) -> State | None:
    none = product["status"] == "ON_SALE" and product["stock"] == 0
    return NO_STOCK if none else PRODUCT_STATES.get(product["status"])


def _product_facts(product: Item) -> list[Fact]:
    return [(PRICE, Money(product["price"])), (STOCK, Count(product["stock"], "개"))]


def _order_facts(order: Item) -> list[Fact]:
    facts: list[Fact] = [(MEMBER, order["member_id"]), (CREATED, Timestamp(order["created_at"]))]
    facts += [(QUANTITY, Count(order["quantity"], "개")), (TOTAL, Money(order["total"]))]
    transfer = order["transfer"]
    if order["status"] in ("ORDER_PLACED", "AWAITING_PAYMENT"):
        facts += [(Text("입금 계좌", "Account"), CodeText(transfer["bank_account"]))]
        facts += [(Text("입금자 표시", "Reference"), CodeText(transfer["reference"]))]
    if transfer["status"]:
        facts += [
            (Text("입금", "Transfer"), TRANSFER_STATES.get(transfer["status"], unknown_state(transfer["status"]))),
        ]
    if transfer["refund_owed"]:
        facts += [(OWED, Money(transfer["amount"]))]
    if returned := transfer.get("returned_amount"):
        facts += [(Text("돌려받은 금액", "Sent back"), Money(returned))]
        facts += [(Text("돌려받은 시각", "Sent back at"), Timestamp(transfer["returned_at"]))]
    if transfer.get("refund_account_last4"):
        facts += [(Text("환불 계좌", "Account for the refund"), f"···· {transfer['refund_account_last4']}")]
    if delivery := order.get("delivery"):
        facts += [
            (Text("배송", "Delivery"), DELIVERY_STATES.get(delivery["status"], unknown_state(delivery["status"])))
        ]
    return [*facts, *reason_facts(order)]


def _next(order: Item) -> NextStep | None:
    action = order.get("next_action")
    if action is None:
        return None
    return NextStep(NEXT.get(action, Text(action, action)), order["deadline"], action.startswith("WAIT"))


def _account_facts(transfer: Item) -> list[Fact]:
    account = transfer.get("refund_account")
    if not account:
        return []
    return [(Text("환불 계좌", "Account for the refund"), f"{account['bank']} {account['number']} {account['holder']}")]


def _transfer_facts(transfer: Item) -> list[Fact]:
    return [
        (MEMBER, transfer["member_id"]),
        (TOTAL, Money(transfer["amount"])),
        (DEADLINE, Timestamp(transfer["deadline"])),
        *_account_facts(transfer),
        *reason_facts(transfer),
    ]


def _delivery_facts(delivery: Item) -> list[Fact]:
    return [(MEMBER, delivery["member_id"]), (QUANTITY, Count(delivery["quantity"], "개"))]


def _product_name(delivery: Item) -> str | Text:
    return (delivery.get("product") or {}).get("name") or Text("상품", "Product")


CANCELLABLE = ("ORDER_PLACED", "AWAITING_PAYMENT")

order = Action(
    "order",
    Text("주문하기", "Order"),
    f"{API}/orders",
    (FormField("quantity", QUANTITY, "whole", default="1"),),
    shown=(Shown("expected_price", lambda product: product.get("price"), times="quantity"),),
    when=status_in("ON_SALE"),
    id_as="product_id",
    tone="main",
    opens_new_item=True,
)
change = Action(
    "change",
    Text("수정", "Change"),
    f"{API}/products/{{id}}",
    (FormField("name", NAME, from_item="name"), FormField("price", PRICE, "won", from_item="price")),
    method="PATCH",
    roles=STAFF,
)
restock = Action(
    "restock",
    Text("재고 채우기", "Restock"),
    f"{API}/products/{{id}}/restock",
    (FormField("quantity", QUANTITY, "whole", default="10"),),
    roles=STAFF,
)
retire = Action(
    "retire",
    Text("판매 종료", "Retire"),
    f"{API}/products/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("ON_SALE"),
    body={"status": "RETIRED"},
    tone="danger",
)
offer_again = Action(
    "offer-again",
    Text("판매 재개", "Sell again"),
    f"{API}/products/{{id}}",
    method="PATCH",
    roles=STAFF,
    when=status_in("RETIRED"),
    body={"status": "ON_SALE"},
)
cancel = Action(
    "cancel",
    Text("주문 취소", "Cancel"),
    f"{API}/orders/{{id}}/cancellation",
    (REASON_FIELD,),
    roles=ANY,
    when=status_in(*CANCELLABLE),
    tone="danger",
    note=Text("이미 입금했다면 판매자가 돌려드립니다.", "If you have transferred the money, the seller gives it back."),
)
received = Action(
    "received",
    Text("수령 확인", "Confirm receipt"),
    f"{API}/orders/{{id}}/receipt-confirmation",
    when=status_in("DELIVERING"),
    tone="main",
)
confirm = Action(
    "confirm",
    Text("입금 확인", "Confirm the deposit"),
    f"{API}/orders/{{id}}/payment-confirmation",
    roles=STAFF,
    when=status_in(*CANCELLABLE, "CONFIRMING", "AWAITING_TRANSFER"),
    tone="main",
    id_field="order_id",
)
revive = Action(
    "revive",
    Text("주문 되살리기", "Revive"),
    f"{API}/orders/{{id}}/revival",
    roles=STAFF,
    when=status_in("ORDER_CANCELLED", "PAYMENT_CANCELLED", "TRANSFER_CANCELLED"),
    id_field="order_id",
)

give_back = Action(
    "return",
    Text("돌려보냄", "Sent back"),
    f"{API}/transfers/{{id}}/return",
    (
        FormField("amount", TOTAL, "won", from_item="amount"),
        FormField("reference", Text("은행 거래 번호", "The bank's number of the transfer")),
    ),
    roles=STAFF,
    when=lambda transfer: bool(transfer["refund_owed"]),
    id_field="transfer_id",
    note=Text("먼저 은행에서 보낸 뒤 기록합니다.", "Send the money at the bank first, then record it here."),
)

refund_account = Action(
    "refund-account",
    Text("환불 계좌 알리기", "Name an account for the refund"),
    f"{API}/orders/{{id}}/refund-account",
    (
        FormField("bank", Text("은행", "Bank")),
        FormField("number", Text("계좌 번호", "Account number")),
        FormField("holder", Text("예금주", "Holder")),
    ),
    method="PUT",
    when=lambda order: bool(order["refund_owed"]),
)


def _samples(_: datetime) -> Registrations:
    return (
        (f"{API}/products", {"name": "나무 책갈피", "price": 4_500, "stock": 30}),
        (f"{API}/products", {"name": "한지 공책", "price": 12_000, "stock": 12}),
        (f"{API}/products", {"name": "청자 찻잔", "price": 38_000, "stock": 2}),
    )


EVENTS = {
    "ProductRegistered": Text("상품을 등록했습니다", "Product registered"),
    "ProductChanged": Text("상품 정보를 바꾸었습니다", "Product changed"),
    "ProductRestocked": Text("재고를 채웠습니다", "Restocked"),
    "OrderPlaced": Text("주문했습니다", "Ordered"),
    "PaymentAwaited": Text("입금을 기다립니다", "Waiting for the transfer"),
    "BuyerReminded": Text("입금 기한을 알려 드렸습니다", "Reminded of the deadline"),
    "ConfirmationStarted": Text("입금을 확인하고 있습니다", "Deposit being confirmed"),
    "PaymentConfirmed": Text("입금을 확인했습니다", "Deposit confirmed"),
    "PaymentCancelled": Text("재고가 없어 결제를 취소했습니다", "Out of stock, payment cancelled"),
    "PaymentReturned": Text("입금액을 돌려드렸습니다", "The money was sent back"),
    "OrderPreparing": Text("상품을 준비했습니다", "Goods ready"),
    "OrderDelivering": Text("배송을 시작했습니다", "On its way"),
    "OrderClosed": Text("수령을 확인했습니다", "Receipt confirmed"),
    "OrderCancelled": Text("주문을 취소했습니다", "Order cancelled"),
    "OrderRevived": Text("주문을 되살렸습니다", "Order revived"),
    "LateTransferNoted": Text("취소된 주문에 입금이 있었습니다", "Money came for a cancelled order"),
    "DeliveryPrepared": Text("배송을 준비했습니다", "Delivery prepared"),
    "DeliveryStarted": Text("배송을 시작했습니다", "Delivery begun"),
    "DeliveryCompleted": Text("배송을 마쳤습니다", "Delivery completed"),
    "StockTaken": Text("재고를 뺐습니다", "Stock taken"),
    "StockReturned": Text("재고를 되돌렸습니다", "Stock returned"),
}

NOTICES = {
    DeadlinePassed.code: (
        Text("입금 기한이 지난 주문입니다", "The deadline of this order has passed"),
        Text("입금액을 돌려주거나 주문을 되살려 주세요.", "Give the money back, or revive the order."),
    ),
}

business = Business(
    "shop",
    "shop",
    Text("간이쇼핑몰", "Shop"),
    Text("주문하고, 입금하고, 받습니다.", "Order, transfer, receive."),
    catalogue=Listing(
        "products",
        Text("상품", "Products"),
        f"{API}/products?status=ON_SALE&limit=100",
        "product_id",
        lambda product: str(product["name"]),
        item=f"{API}/products/{{id}}",
        staff_path=f"{API}/products?limit=100",
        state=_product_state,
        facts=_product_facts,
        actions=(order, restock, change, retire, offer_again),
        hint="catalogue",
    ),
    records=Listing(
        "orders",
        Text("쇼핑몰 주문", "Shop orders"),
        f"{API}/order-status?limit=50",
        "order_id",
        lambda order: (order.get("product") or {}).get("name") or Text("상품", "Product"),
        item=f"{API}/order-status/{{id}}",
        state=lambda order: STATES.get(order["status"]),
        facts=_order_facts,
        next=_next,
        actions=(received, confirm, revive, cancel, refund_account),
        takes_min_version=True,
    ),
    general_actions=(
        Action(
            "product",
            Text("상품 등록", "Register a product"),
            f"{API}/products",
            (
                FormField("name", NAME),
                FormField("price", PRICE, "won"),
                FormField("stock", STOCK, "whole", default="10"),
            ),
            roles=STAFF,
        ),
    ),
    more_listings=(
        Listing(
            "transfers",
            Text("확인할 입금", "Transfers to confirm"),
            f"{API}/transfers?status=AWAITING_TRANSFER&limit=50",
            "order_id",
            lambda transfer: str(transfer["reference"]),
            state=lambda transfer: TRANSFER_STATES.get(transfer["status"]),
            facts=_transfer_facts,
            actions=(confirm,),
            empty=Text("기다리는 입금이 없습니다.", "No transfer is awaited."),
            roles=STAFF,
            is_work=True,
        ),
        Listing(
            "refunds-owed",
            Text("돌려줄 입금", "Money to give back"),
            f"{API}/transfers?refund_owed=true&limit=50",
            "order_id",
            lambda transfer: str(transfer["reference"]),
            state=lambda transfer: TRANSFER_STATES.get(transfer["status"]),
            facts=_transfer_facts,
            actions=(give_back, revive),
            empty=Text("돌려줄 돈이 없습니다.", "Nothing is to be given back."),
            roles=STAFF,
            is_work=True,
        ),
        Listing(
            "deliveries",
            Text("배송 중인 상품", "On its way"),
            f"{API}/deliveries?status=DELIVERING&limit=20",
            "order_id",
            _product_name,
            state=lambda delivery: DELIVERY_STATES.get(delivery["status"]),
            facts=_delivery_facts,
            joins=(("product", f"{API}/products/{{product_id}}"),),
            empty=Text("배송이 없습니다.", "There are no deliveries."),
            roles=STAFF,
            is_work=True,
        ),
    ),
    events=EVENTS,
    notices=NOTICES,
    offers=("shop.products",),
    samples=_samples,
)
