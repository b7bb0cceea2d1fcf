"""Conformance: what every engine does, whatever library is behind it."""
