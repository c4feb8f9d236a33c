"""Video rental: My Page, a view that answers even when videos, rentals and payments are down."""

from __future__ import annotations

from storage.video_rental import my_page as store
from workers.runtime.projections.view import View

worker = my_page = View("video_rental.my_page", store.tables)
my_page.answers(store.queries)
