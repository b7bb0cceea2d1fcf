"""Fixtures that several folders of tests share."""

from tests.support.demo import demo

__all__ = ["demo"]
