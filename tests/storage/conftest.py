"""The runtime's harness, for tests of the inbox and the outbox on a real schema."""

from tests.runtime.conftest import harness, module_harness

__all__ = ["harness", "module_harness"]
