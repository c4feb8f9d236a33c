"""Korean, unless English is preferred."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_api.language import preferred


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "ko"),
        ("*", "ko"),
        ("en", "en"),
        ("en-GB", "en"),
        ("EN-us,en;q=0.5", "en"),
        ("ko", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("en, ko", "en"),
        ("ko, en", "ko"),
        ("ko;q=0.3, en;q=0.7", "en"),
        ("en;q=0", "ko"),
        ("fr, en;q=0.5", "en"),
        ("fr, de", "ko"),
        ("ko;q=0.1, *;q=0.5", "en"),
        ("en;q=banana", "ko"),
        ("en;q=1.001", "ko"),
        ("english", "ko"),
        (" en ; q=0.4 , ko ; q=0.2 ", "en"),
        (",,;;en", "ko"),
    ],
)
def test_the_language_of_a_header(header, language):
    assert preferred(header) == language


@given(st.text(max_size=700))
def test_any_header_has_a_language(header):
    assert preferred(header) in ("ko", "en")


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_heavier_language_wins(korean, english):
    header = f"ko;q={korean / 1000:.3f},en;q={english / 1000:.3f}"

    assert preferred(header) == ("en" if english > korean else "ko")
