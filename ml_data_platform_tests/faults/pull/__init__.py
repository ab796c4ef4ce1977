"""Pulls that are killed."""
