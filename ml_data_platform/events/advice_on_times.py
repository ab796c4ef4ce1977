"""What to change about the reading of event times, given what a dry run found.

Belongs here: units, formats, columns, zones and the first day. Does not belong here: advice on anything else
(advice), guessing how a time is written (time_guesses).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from ml_data_platform.events.check_report import CheckReport
from ml_data_platform.events.column_roles import near_names
from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.contract_parts import EPOCH, ISO
from ml_data_platform.events.file_changes import nearest_version
from ml_data_platform.events.readings import LOCAL_INSTANT
from ml_data_platform.events.schema_versions import FieldType
from ml_data_platform.events.suggestions import FileLook, Suggestion
from ml_data_platform.events.time_guesses import TimeGuess, guess_time

ENOUGH_ARE_LOCAL = 0.5
MISREAD = ("event_time_unreadable", "event_time_before_start_date", "event_time_in_the_future", "event_time_missing")


def advise_on_times(
    report: CheckReport,
    contract: SourceContract,
    look: FileLook | None,
    *,
    start_date: dt.date,
    latest: dt.datetime,
) -> Iterator[Suggestion]:
    """Suggest how event times are to be read, where many rows have no usable day.

    Args:
        report: What the dry run found.
        contract: The contract that was tried.
        look: What the file looks like.
        start_date: First UTC day of the root.
        latest: Latest instant that an event may have, aware.
    """
    undated = {reason: report.undated[reason] for reason in MISREAD if reason in report.undated}
    rows = sum(found.rows for found in undated.values())
    if not rows:
        return
    texts = {text for found in undated.values() for text in found.times}
    guess = guess_time(texts, latest=latest) if texts else None
    if guess is not None:
        yield from _misread(contract, guess, rows, start_date, are_others_read=bool(report.dated))
    elif "event_time_missing" in undated and look is not None:
        yield from _missing_time(contract, look, undated["event_time_missing"].rows, latest)


def _misread(
    contract: SourceContract, guess: TimeGuess, rows: int, start_date: dt.date, *, are_others_read: bool
) -> Iterator[Suggestion]:
    span = f"{guess.first:%Y-%m-%d} to {guess.last:%Y-%m-%d}"
    kinds = _time_types(contract)
    said = contract.event_time
    if guess.kind == "epoch" and FieldType.EPOCH_INSTANT not in kinds:
        yield Suggestion(
            f"{rows:,} event times are integers ({span} in {guess.unit}), and the version reads texts",
            f"schema_version: 2, columns: {{event_timestamp: …}}, event_time: {{epoch_unit: {guess.unit}}}",
        )
    elif guess.kind == "epoch" and guess.unit != said.epoch_unit:
        yield Suggestion(
            f"{rows:,} event times lie in no usable day when read in {said.epoch_unit}; in {guess.unit} they lie {span}",
            f"event_time: {{epoch_unit: {guess.unit}}}",
        )
    elif guess.kind != "epoch" and FieldType.ISO_INSTANT not in kinds:
        yield Suggestion(
            f"{rows:,} event times are texts ({span}), and the version reads integers",
            "schema_version: 1, columns: {timestamp: …}"
            + (f", event_time: {{format: '{guess.format}'}}" if guess.format else ""),
        )
    elif guess.kind != "epoch" and (guess.format or ISO) not in said.formats:
        found = f"{rows:,} event times are not written as the contract says"
        if guess.kind == "iso" and not are_others_read:
            yield Suggestion(f"{rows:,} event times are ISO-8601", "remove event_time.format")
            return
        formats = [*(said.formats if are_others_read else ()), guess.format or ISO]
        written = ", ".join(name if name == ISO else f"'{name}'" for name in formats)
        yield Suggestion(found, f"event_time: {{format: {f'[{written}]' if len(formats) > 1 else written}}}")
    elif guess.first.date() < start_date:
        yield Suggestion(
            f"{rows:,} event times lie {span}, before the first day of the root, {start_date}",
            f"start_date: {guess.first:%Y-%m-%d} in platform.yaml",
        )


def _missing_time(contract: SourceContract, look: FileLook, rows: int, latest: dt.datetime) -> Iterator[Suggestion]:
    version = nearest_version(contract, look.profiles)
    field = contract.registry.versions[version].time_field
    said = contract.fields(version)[field]
    if said in look.profiles and look.profiles[said].filled:
        return
    near = near_names(said, look.profiles)
    others = [
        name for name, profile in look.profiles.items() if profile.filled and guess_time(profile.counts, latest=latest)
    ]
    best = next((name for name in (*near, *others) if name in others), None)
    yield Suggestion(f"{rows:,} rows have nothing in {said}", f"columns: {{{field}: {best}}}" if best else "")


def advise_on_zone(report: CheckReport, contract: SourceContract, look: FileLook | None) -> Iterator[Suggestion]:
    """Suggest to name a zone where event times have none and the contract does not say so.

    Args:
        report: What the dry run found.
        contract: The contract that was tried.
        look: What the file looks like.
    """
    if look is None or report.status != "read" or "zone" in contract.event_time.model_fields_set or not report.dated:
        return
    if FieldType.ISO_INSTANT not in _time_types(contract):
        return
    said = contract.event_time
    for version in contract.versions:
        column, *second = contract.time_columns(version)
        profile = look.profiles.get(column)
        if profile is None or not profile.filled:
            continue
        is_local = bool(second) or profile.share(LOCAL_INSTANT) > ENOUGH_ARE_LOCAL if ISO in said.formats else False
        formats = [name for name in said.formats if name not in (ISO, EPOCH)]
        if is_local or any(not name.endswith(("UTC", "GMT", "Z")) and "%z" not in name for name in formats):
            yield Suggestion(
                "the event times do not say their zone and are read as UTC",
                "event_time: {zone: UTC}, or the zone of the clock that wrote them, e.g. Europe/Berlin",
            )


def _time_types(contract: SourceContract) -> set[FieldType]:
    described = (contract.registry.versions[number] for number in contract.versions)
    return {version.fields[version.time_field].type for version in described}
