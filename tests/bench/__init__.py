"""Tests of the edge: against the fake engine behind a real service, and against a stub where something must break."""
