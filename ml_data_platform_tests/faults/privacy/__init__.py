"""Landings of personal data that die."""
