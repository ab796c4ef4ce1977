"""Faults of the whole flow: deaths, injected errors, interleaved builds."""
