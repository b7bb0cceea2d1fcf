"""Fixtures that several folders of tests share."""

import os

# Before gRPC is imported: tests of the launcher fork, as the launcher does, which has no gRPC in it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from tests.support.demo import demo

__all__ = ["demo"]
