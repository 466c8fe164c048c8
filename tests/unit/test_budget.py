"""The memory that all messages share: when it is tight, and when it is spent."""

from __future__ import annotations

import pytest

from lmtpd.delivery.budget import PIECE_OCTETS, TIGHT_PIECE_OCTETS, Budget


@pytest.mark.parametrize(
    ("held", "piece", "is_spent"),
    [
        (0, PIECE_OCTETS, False),
        (500, PIECE_OCTETS, False),
        (501, TIGHT_PIECE_OCTETS, False),
        (999, TIGHT_PIECE_OCTETS, False),
        (1000, TIGHT_PIECE_OCTETS, True),
        (5000, TIGHT_PIECE_OCTETS, True),
    ],
)
def test_what_is_held(held: int, piece: int, is_spent: bool) -> None:
    budget = Budget(1000)
    budget.change(held + 1)
    budget.change(-1)
    assert (budget.held, budget.piece_octets, budget.is_spent) == (held, piece, is_spent)


def test_without_a_limit() -> None:
    budget = Budget()
    budget.change(2**60)
    assert (budget.piece_octets, budget.is_spent) == (PIECE_OCTETS, False)
