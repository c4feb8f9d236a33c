"""Video rental: My Page, a view of the events of rentals, videos and payments."""

from __future__ import annotations

from contracts.video_rental.my_page import ListMyPage, ShowMyPage
from contracts.video_rental.rentals import RentalState
from contracts.video_rental.videos import VideoState
from storage.payment_projections import project_payments
from storage.view_queries import Joined, ViewQueries
from storage.views import ViewTables

tables = ViewTables("video_rental_my_page")

rentals = tables.projection("rentals", RentalState, listed=True, index=("video_id", "created_at", "rental_id"))
videos = tables.projection("videos", VideoState, "title")
payments, refunds = project_payments(tables, about="video_rental.rentals")

queries = ViewQueries(
    tables,
    rentals,
    lists=ListMyPage,
    shows=ShowMyPage,
    joined=[
        Joined(videos, "video_id", columns=[videos.c.title]),
        Joined(payments, "payment_id", part="payment"),
        Joined(refunds, "payment_id", part="refund", latest=True),
    ],
    timeline=[rentals.c.payment_id, rentals.c.late_fee_payment_id, refunds.c.refund_id],
)
