"""Labels of events in a timeline, by the name of the event."""

from __future__ import annotations

from gateway_api.console.words import Text

EVENT_LABELS = {
    # payments
    "PaymentApproved": Text("결제가 승인되었습니다", "Payment approved"),
    "PaymentDeclined": Text("결제가 거절되었습니다", "Payment declined"),
    "PaymentVoiding": Text("결제를 취소하고 있습니다", "Payment is being undone"),
    "PaymentVoided": Text("결제를 취소했습니다", "Payment undone"),
    "PaymentRefunded": Text("환불이 반영되었습니다", "Payment refunded"),
    "RefundStarted": Text("환불을 시작했습니다", "Refund begun"),
    "RefundFailed": Text("환불에 실패해 다시 시도합니다", "Refund failed, it is tried again"),
    "RefundSucceeded": Text("환불했습니다", "Refund done"),
    "TransferAwaited": Text("입금을 기다립니다", "Transfer awaited"),
    "TransferConfirmed": Text("입금을 확인했습니다", "Transfer confirmed"),
    "TransferCancelled": Text("입금을 취소했습니다", "Transfer cancelled"),
    "TransferReturned": Text("입금액을 돌려보냈습니다", "Transfer sent back"),
    "RefundAccountNamed": Text("환불 계좌를 알렸습니다", "Account for the refund named"),
    "DiscrepancyFound": Text("결제사 장부와 다릅니다", "The provider's books differ"),
    "DiscrepancyResolved": Text("결제사 장부와의 차이를 처리했습니다", "The difference was dealt with"),
    # video rental
    "VideoRegistered": Text("비디오를 등록했습니다", "Video registered"),
    "VideoChanged": Text("비디오 정보를 바꾸었습니다", "Video changed"),
    "BookingStarted": Text("예약을 시작했습니다", "Booking begun"),
    "VideoBooked": Text("예약했습니다", "Booked"),
    "BookingRejected": Text("예약하지 못했습니다", "Booking rejected"),
    "BookingCancelled": Text("예약을 취소했습니다", "Booking cancelled"),
    "VideoRented": Text("비디오를 받아 갔습니다", "Picked up"),
    "VideoReturned": Text("비디오를 반납했습니다", "Returned"),
    "LateFeePaying": Text("연체료를 결제하고 있습니다", "Late fee being paid"),
    "LateFeePaid": Text("연체료를 냈습니다", "Late fee paid"),
    "LateFeeWaived": Text("연체료를 면제받았습니다", "Late fee waived"),
    # ticketing
    "TicketRegistered": Text("티켓을 등록했습니다", "Ticket registered"),
    "TicketChanged": Text("티켓 정보를 바꾸었습니다", "Ticket changed"),
    "TicketTaken": Text("티켓을 잡았습니다", "Ticket held"),
    "TicketFreed": Text("티켓이 풀렸습니다", "Ticket free again"),
    "TicketExpired": Text("티켓이 만료되었습니다", "Ticket expired"),
    "PriceAssigned": Text("가격을 정했습니다", "Price set"),
    "PriceFrozen": Text("예약 가격을 고정했습니다", "Price kept for the reservation"),
    "PriceRestored": Text("가격을 되돌렸습니다", "Price restored"),
    "ReservationStarted": Text("예약을 시작했습니다", "Reservation begun"),
    "TicketReserved": Text("예약했습니다", "Reserved"),
    "ReservationRejected": Text("예약하지 못했습니다", "Reservation rejected"),
    "ReservationCancelling": Text("예약을 취소하고 있습니다", "Reservation being cancelled"),
    "ReservationCancelled": Text("예약을 취소했습니다", "Reservation cancelled"),
    # bike sharing
    "BikeRegistered": Text("자전거를 등록했습니다", "Bike registered"),
    "BikeChanged": Text("자전거 정보를 바꾸었습니다", "Bike changed"),
    "BikeTaken": Text("자전거를 빌려 갔습니다", "Bike taken"),
    "BikeReleased": Text("자전거가 돌아왔습니다", "Bike back"),
    "AccountChanged": Text("보증금이 바뀌었습니다", "Deposit changed"),
    "RideRequested": Text("자전거를 신청했습니다", "Bike asked for"),
    "RideStarted": Text("대여를 시작했습니다", "Ride begun"),
    "RideNotStarted": Text("대여하지 못했습니다", "Ride not begun"),
    "RideReturned": Text("자전거를 반납했습니다", "Bike returned"),
    "RideEndedByStaff": Text("직원이 대여를 끝냈습니다", "Ride ended by staff"),
    "RideEndedAtCap": Text("최대 시간이 지나 대여가 끝났습니다", "Ride ended at the time limit"),
    "BillOpened": Text("이용 요금을 재기 시작했습니다", "Bill opened"),
    "BillSettling": Text("요금을 정산하고 있습니다", "Bill being settled"),
    "BillOwed": Text("보증금이 모자라 미납금이 생겼습니다", "Deposit was short, the rest is owed"),
    "BillClosed": Text("요금 정산을 마쳤습니다", "Bill closed"),
    # shop, and the models of phone pre-order
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
    # café
    "MenuItemRegistered": Text("메뉴를 등록했습니다", "Item registered"),
    "MenuItemChanged": Text("메뉴를 바꾸었습니다", "Item changed"),
    "OrderAccepted": Text("주문을 접수했습니다", "Accepted"),
    "OrderRejected": Text("주문을 거절했습니다", "Rejected"),
    "OrderMarkedReady": Text("음료가 준비되었습니다", "Ready"),
    "OrderCollected": Text("음료를 받아 갔습니다", "Collected"),
    # phone pre-order
    "ReservationConfirmed": Text("예약이 확정되었습니다", "Reservation confirmed"),
    "ReceiptIssued": Text("접수증을 발급했습니다", "Receipt issued"),
    "ReceiptVoided": Text("접수증을 취소했습니다", "Receipt voided"),
}


def event_label(what: str) -> Text:
    """Return the label of an event; its name, where it has none."""
    return EVENT_LABELS.get(what, Text(what, what))
