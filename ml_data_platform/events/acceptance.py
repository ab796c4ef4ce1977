"""Features that alone tell the label and are accepted, as inputs of ``date_partitions``.

Belongs here: which acceptances a day must be built with. Does not belong here: the alarm (``training.leakage``).

A day is built with all acceptances and records those that it needed. One that needed none stays as it is whatever is
accepted later, so that only days whose verdict can change are built again.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "accepted_feature/"


def accepted_in(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return feature to reason of the acceptances among inputs."""
    return {key.removeprefix(PREFIX): reason for key, reason in inputs.items() if key.startswith(PREFIX)}


def without_unused(inputs: Mapping[str, str], used: Mapping[str, object]) -> dict[str, str]:
    """Return inputs without the acceptances of features that needed none."""
    return {
        key: value for key, value in inputs.items() if not key.startswith(PREFIX) or key.removeprefix(PREFIX) in used
    }


def accepted_inputs(
    accepted: Mapping[str, str], inputs: Mapping[str, str], published: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the acceptances that a day must be built with now.

    Args:
        accepted: Feature to reason, as it is set.
        inputs: All else that the day must be built from.
        published: What its published generation was built from; none where there is none.
    """
    if published is not None and without_unused(published, {}) == dict(inputs):
        needed = accepted_in(published)
        if needed.items() <= accepted.items():
            return {PREFIX + feature: reason for feature, reason in needed.items()}
    return {PREFIX + feature: reason for feature, reason in accepted.items()}
