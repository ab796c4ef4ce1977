"""Fault tests of storage."""
