"""A third schema version as a user would register it, for the tests of several rooms."""

from __future__ import annotations

from ml_data_platform.events.registry_file import SHIPPED_REGISTRY, extend_registry

ADDITIVE = """
versions:
  3:
    description: Rows say where the client is.
    fields:
      event_id: text
      user_id: {type: text, required: true}
      session_uuid: {type: text, required: true}
      event_type: {type: text, required: true}
      event_timestamp: {type: epoch_instant, required: true}
      sequence: integer
      session_duration_seconds: number
      purchase_amount_usd: number
      label: binary
      client_version: text
      country: text
      battery_percent: integer
"""
BREAKING = """
versions:
  1: {retired_on: 2026-03-01}
  3:
    description: Another name, two other types, one field less, one more.
    fields:
      event_id: text
      actor_id: {type: text, required: true}
      session_uuid: {type: text, required: true}
      event_type: {type: text, required: true}
      occurred_at: {type: iso_instant, required: true}
      sequence: text
      purchase_amount_usd: number
      label: binary
      client_version: text
      country: text
    upcast:
      renamed: {user_id: actor_id}
      retyped: {event_timestamp: occurred_at, sequence: sequence}
      removed: [session_duration_seconds]
"""


def registry_of(text):
    """Return the shipped registry with the versions of a YAML text."""
    return extend_registry(SHIPPED_REGISTRY, text, file="schema_versions.yaml")
