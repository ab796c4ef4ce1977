"""What to change about a contract, given what a dry run of it found.

Belongs here: pure decisions from findings to suggestions. Does not belong here: finding (``stages.source_check``).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from ml_data_platform.events.advice_on_times import advise_on_times, advise_on_zone
from ml_data_platform.events.alike_names import alike_names
from ml_data_platform.events.check_report import CheckReport
from ml_data_platform.events.column_roles import near_names, plain_name
from ml_data_platform.events.contract_model import SourceContract
from ml_data_platform.events.event_type_names import meaning_of
from ml_data_platform.events.file_changes import nearest_version
from ml_data_platform.events.number_marks import guess_marks
from ml_data_platform.events.profiles import COMMA_NUMBER
from ml_data_platform.events.suggestions import FileLook, Suggestion

SHARED_SESSIONS = 0.02
UNORDERED_ROWS = 0.001
MAX_TYPES_NAMED = 20


def advise(
    report: CheckReport, contract: SourceContract, look: FileLook | None, *, start_date: dt.date, latest: dt.datetime
) -> tuple[Suggestion, ...]:
    """Suggest what to change, the most urgent first.

    Args:
        report: What the dry run found.
        contract: The contract that was tried.
        look: What the file looks like; None where its form cannot be recognised.
        start_date: First UTC day of the root.
        latest: Latest instant that an event may have, aware.
    """
    found: list[Suggestion] = []
    if look is not None:
        form = list(_form(contract, look))
        found += form
        if report.status == "refused" and not form:
            found += _columns(contract, look)
        found += _alike(contract, look)
    found += _versions(report, contract, look)
    found += advise_on_times(report, contract, look, start_date=start_date, latest=latest)
    found += _types(report, contract)
    found += _numbers(report, contract)
    found += advise_on_zone(report, contract, look)
    found += _ids(report, contract)
    found += _order(report)
    return tuple(dict.fromkeys(found))


def _form(contract: SourceContract, look: FileLook) -> Iterator[Suggestion]:
    form = look.form
    if form.format != contract.format:
        yield Suggestion(
            f"the file looks like {form.format}, the contract says {contract.format}", f"format: {form.format}"
        )
    elif form.format == "csv" and len(look.profiles) > 1:
        yield from _dialect(contract, look)


def _dialect(contract: SourceContract, look: FileLook) -> Iterator[Suggestion]:
    form, said = look.form, contract.csv
    if form.delimiter != said.delimiter:
        shown = form.delimiter.replace("\t", "\\t")
        yield Suggestion(
            f"cells look parted by {shown!r}", f'csv: {{delimiter: "{shown}"}} instead of "{said.delimiter}"'
        )
    elif form.quote != said.quote:
        if any(text.startswith("'") for profile in look.profiles.values() for text in profile.counts):
            yield Suggestion(
                f"cells look quoted by {form.quote}", f'csv: {{quote: "{form.quote}"}} instead of "{said.quote}"'
            )
    elif form.escape is not None and form.escape != said.escape:
        yield Suggestion("quotes within cells look escaped by a backslash", "csv: {escape: '\\'}")


def _columns(contract: SourceContract, look: FileLook) -> Iterator[Suggestion]:
    version = nearest_version(contract, look.profiles)
    fields = {column: name for name, columns in contract.field_columns(version).items() for column in columns}
    taken = set(contract.landed_columns(version))
    for column in contract.required_columns(version):
        if column in look.profiles:
            continue
        free = [name for name in look.profiles if name not in taken]
        near = near_names(column, free) or near_names(fields.get(column, column), free)
        key = f"columns.{fields[column]}" if column in fields else "the contract"
        what = f"the file has no column {column}, which {key} reads"
        yield Suggestion(what, f"columns: {{{fields[column]}: {near[0]}}}" if near and column in fields else "")


def _alike(contract: SourceContract, look: FileLook) -> Iterator[Suggestion]:
    """Columns that the contract reads under one name and the file has under another that looks or sounds the same."""
    version = nearest_version(contract, look.profiles)
    free = [name for name in look.profiles if name not in contract.landed_columns(version)]
    for name, column in contract.fields(version).items():
        if column in look.profiles:
            continue
        differing = alike_names([column], free)
        sounding = [
            other for other in free if plain_name(other).replace("_", "") == plain_name(column).replace("_", "")
        ]
        if differing or sounding:
            what = differing[0] if differing else f"{column} is not there, {sounding[0]} is, and no field takes it"
            yield Suggestion(what, "" if differing else f"columns: {{{name}: {_yaml(sounding[0])}}}")


def _versions(report: CheckReport, contract: SourceContract, look: FileLook | None) -> Iterator[Suggestion]:
    unknown = report.undated.get("schema_version_unknown")
    if unknown is not None:
        numbers = ", ".join(str(number) for number in contract.registry.versions)
        yield Suggestion(
            f"{unknown.rows:,} rows name no registered schema version ({numbers})",
            "schema_version: infer, or register the version in schema_versions.yaml",
        )
    retired = report.undated.get("schema_version_retired")
    if retired is not None:
        yield Suggestion(f"{retired.rows:,} rows are of a version that was retired before their event time")
    if look is None or contract.format == "csv" or not isinstance(contract.schema_version, int):
        return
    free = look.profiles.keys() - contract.known_columns
    for number, version in contract.registry.versions.items():
        seen = [name for name in version.markers if name in free]
        if number not in contract.versions and seen:
            rows = max(look.profiles[name].filled for name in seen)
            what = f"{rows:,} rows have {', '.join(seen)}, as rows of version {number} do"
            yield Suggestion(what, "schema_version: infer")


def _types(report: CheckReport, contract: SourceContract) -> Iterator[Suggestion]:
    unmapped = {name: found.rows for name, found in report.event_types.items() if found.becomes is None and name}
    if unmapped:
        named = [f"{_yaml(name)}: {meaning_of(name) or 'other'}" for name in list(unmapped)[:MAX_TYPES_NAMED]]
        more = " …" if len(unmapped) > MAX_TYPES_NAMED else ""
        what = f"{sum(unmapped.values()):,} rows have event types that are not mapped"
        yield Suggestion(what, f"event_type: {{mapping: {{{', '.join(named)}{more}}}}}, or a default")
    absent = report.event_types.get("")
    if absent is not None and absent.becomes is None:
        yield Suggestion(f"{absent.rows:,} rows have no event type", "event_type: {default: other}")
    if contract.event_type.default is not None and report.event_types:
        meanings = {name: meaning_of(name) for name, found in report.event_types.items() if found.becomes == "other"}
        telling = {name: meaning for name, meaning in meanings.items() if meaning not in {None, "other"}}
        if telling:
            named = [f"{_yaml(name)}: {meaning}" for name, meaning in list(telling.items())[:MAX_TYPES_NAMED]]
            yield Suggestion(
                "event types that fall under the default sound like others",
                f"event_type: {{mapping: {{{', '.join(named)}}}}}",
            )


def _numbers(report: CheckReport, contract: SourceContract) -> Iterator[Suggestion]:
    for name, found in report.fields.items():
        if not found.unreadable:
            continue
        marks = guess_marks(found.unreadable_examples) if contract.format == "csv" else None
        if marks is not None:
            thousands, decimal = marks
            yield Suggestion(
                f"{found.unreadable:,} values of {name} have a mark between their thousands",
                f'csv: {{thousands: "{thousands}", decimal: "{decimal}"}}',
            )
        elif all(re.fullmatch(COMMA_NUMBER, text) for text in found.unreadable_examples):
            where = 'csv: {decimal: ","}' if contract.format == "csv" else "have them written with a point"
            yield Suggestion(f"{found.unreadable:,} values of {name} are written with a decimal comma", where)
        else:
            examples = ", ".join(repr(text) for text in found.unreadable_examples)
            yield Suggestion(
                f"{found.unreadable:,} values of {name} cannot be read, e.g. {examples}",
                f"is {' or '.join(found.columns)} the right column? A number has no currency; without a mapping the"
                " column is kept in attributes",
            )


def _order(report: CheckReport) -> Iterator[Suggestion]:
    unsaid = {why: rows for why, rows in report.unordered.items() if why != "sequence: none"}
    rows = sum(unsaid.values())
    if rows > UNORDERED_ROWS * report.dated:
        why = ", ".join(unsaid)
        yield Suggestion(
            f"{rows:,} of {report.dated:,} rows share session and instant with others, in an order nobody stated ({why})",
            "columns: {sequence: a column that orders them}, or sequence: file where the file does, or sequence: none",
        )


def _ids(report: CheckReport, contract: SourceContract) -> Iterator[Suggestion]:
    duplicates = sum(day.duplicates for day in report.days.values())
    if report.dated and duplicates > 0.1 * report.dated:
        by = (
            "their event id"
            if contract.has_stated_event_ids
            else "the columns of `identity`"
            if contract.identity
            else "the values of all columns"
            if contract.landed_column("event_id") is None
            else "their event id, or all values where there is none"
        )
        is_hashed = not contract.has_stated_event_ids and not contract.identity
        keeping = ", else duplicates: keep" if is_hashed else ""
        yield Suggestion(
            f"{duplicates:,} of {report.dated:,} rows repeat others by {by}",
            f"is that what tells events apart?{keeping}",
        )
    if report.sessions and report.shared_sessions > SHARED_SESSIONS * report.sessions:
        what = f"{report.shared_sessions:,} of {report.sessions:,} sessions hold several users"
        fields = {column: name for name, column in contract.registry.canonical_columns(contract.versions[-1]).items()}
        parts = dict.fromkeys(
            part for name in ("user_id", "session_uuid") for part in contract.columns_of(fields[name])
        )
        yield Suggestion(
            what, f"if sessions are counted per user, columns: {{{fields['session_uuid']}: [{', '.join(parts)}]}}"
        )
    for name in ("user_id", "session_uuid"):
        found = report.fields.get(name)
        if found and report.dated and found.filled < report.dated:
            admitted = ", else ids: {anonymous: admit}" if name == "user_id" else ""
            yield Suggestion(
                f"{report.dated - found.filled:,} rows have no {name}; they are rejected",
                f"is {' or '.join(found.columns)} the right column?{admitted}",
            )


def _yaml(text: str) -> str:
    return (
        text
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text)
        and text.lower() not in {"yes", "no", "on", "off", "null", "true", "false"}
        else "'" + text.replace("'", "''") + "'"
    )
