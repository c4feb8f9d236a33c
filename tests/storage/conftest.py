"""The runtime's harness, for tests of the inbox and the outbox on a real schema."""

from tests.runtime.conftest import lab, own_lab

__all__ = ["lab", "own_lab"]
