"""Generate days of shop events, hour by hour, in bounded memory.

Belongs here: the flow from hours to files, and what is carried from one hour to later ones. Does not
belong here: behaviour (``sessions``), faults (``planting``, ``damage``), text (``lines``).

Days that events fall on. Sessions start on the UTC days from ``start`` to ``start + days - 1``. A session
lasts less than six hours, so that events fall on these days and, for sessions that cross the last
midnight, on the first six hours of ``start + days``. No event is earlier than ``start``: nothing is carried
in. Rows planted without a usable day claim times of January 1970, of 2090, or none that can be read.

Files. A row stands in the file of the hour in which it arrives: the hour of its event, or a later one for
late rows (up to three days) and copies across files (up to a day after the original's arrival). Files
therefore go on for up to five days after the last day; an hour without arrivals has no file. Within a file
rows are in the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np

from ml_data_platform.errors import SettingsError
from ml_data_platform.generator.draws import Draws, Stream
from ml_data_platform.generator.files import (
    HourFile,
    event_files,
    holds_exactly,
    prepare_folders,
    remove_temp_folder,
    row_truth_file,
    write_truth,
)
from ml_data_platform.generator.options import GeneratorOptions, check_arguments, population
from ml_data_platform.generator.planting import Plan, plant
from ml_data_platform.generator.rhythm import DAY_MS, HOUR_MS, Hour, plan_hours
from ml_data_platform.generator.sessions import ROW, Population, Rows, draw_sessions
from ml_data_platform.generator.truth import (
    SOURCE,
    TRUTH_FOLDER,
    DayCounter,
    FileTruth,
    Planted,
    load_planted,
    planted_json,
    read_arguments,
    unfinished_json,
)

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_NO_ROWS: Rows = np.zeros(0, dtype=ROW)
DEFAULT_OPTIONS = GeneratorOptions()


def generate(
    out: Path,
    *,
    start: date,
    days: int,
    events_per_day: int,
    seed: int,
    options: GeneratorOptions = DEFAULT_OPTIONS,
    progress: Callable[[int, int], None] | None = None,
) -> Planted:
    """Write hourly files of events under ``<out>/demo_shop`` and the truth about them under ``<out>/_planted``.

    The same arguments give the same bytes; run again, they are recognised and nothing is written.

    Args:
        out: Output folder, e.g. the landing folder; created if missing. It belongs to one set of arguments.
        start: First UTC day that sessions start on.
        days: Number of such days, at least 1.
        events_per_day: Mean number of events of the sessions that start on a day, before duplication: the
            events over all days are exactly ``days * events_per_day``, weekends having fewer than weekdays.
        seed: Selects the data, 0 to 2**64 - 1.
        options: Shares of what is planted.
        progress: Called with (events generated, events in total) after each part of an hour.

    Returns:
        What was planted, as in ``planted.json``.

    Raises:
        SettingsError: When an argument is out of bounds, or the folder holds files of another run.
    """
    arguments = check_arguments(start, days, events_per_day, seed, options)
    known = _require_own_folder(out, arguments)
    if known is not None and holds_exactly(out, known):
        return Planted(arguments=known.arguments, days=known.days, files=known.files, unchanged=True)
    prepare_folders(out)
    write_truth(out, unfinished_json(arguments))
    first_day = start.toordinal() - _EPOCH_ORDINAL
    counter = DayCounter(first_day, days + 1)
    files: dict[str, FileTruth] = {}
    arrivals = Arrivals(
        population=Population.of(population(options, events_per_day), seed),
        plan=Plan.of(options),
        seed=seed,
        start_ms=first_day * DAY_MS,
        v2_share=options.v2_share,
    )
    done, total = 0, days * events_per_day
    with row_truth_file(out, is_wanted=options.row_truth) as row_truth:
        for hour, parts in arrivals.hours(plan_hours(start, days, events_per_day, seed)):
            file = HourFile(out, hour, seed, row_truth)
            try:
                for generated, rows in parts:
                    file.append(rows, counter)
                    done += generated
                    if progress is not None:
                        progress(done, total)
                published = file.publish()
            except BaseException:
                file.abandon()
                raise
            if published is not None:
                files[file.name] = published
    planted = Planted(arguments=arguments, days=counter.truth(), files=files)
    write_truth(out, planted_json(planted))
    remove_temp_folder(out)
    return planted


class Arrivals:
    """The rows of each hour's file, in the order of arrival.

    What is held: the rows of one part of an hour, and those that were generated but arrive later (ends of
    sessions, late rows, copies), kept by the hour of their arrival.

    Args:
        population: Whose sessions they are.
        plan: What is planted.
        seed: Seed of the run.
        start_ms: Start of the first day, milliseconds since 1970 UTC.
        v2_share: Share of sessions in row format v2.
    """

    def __init__(self, *, population: Population, plan: Plan, seed: int, start_ms: int, v2_share: float) -> None:
        self._population = population
        self._plan = plan
        self._seed = seed
        self._start_ms = start_ms
        self._v2_share = v2_share
        self._carried: dict[int, list[Rows]] = {}

    def hours(self, plan: tuple[Hour, ...]) -> Iterator[tuple[int, Iterator[tuple[int, Rows]]]]:
        """Give each hour that rows may arrive in, as hours since 1970, with its parts.

        Args:
            plan: The hours in which sessions start, in order.

        Yields:
            The hour and an iterator of (events generated, rows that arrived), to be used up before the
            next hour is asked for.
        """
        first = self._start_ms // HOUR_MS
        for hour in plan:
            yield first + hour.index, self._parts(hour)
        after = first + len(plan)
        while self._carried:
            yield after, iter([(0, _by_arrival(self._take(after)))])
            after += 1

    def _parts(self, hour: Hour) -> Iterator[tuple[int, Rows]]:
        waiting = self._take(self._start_ms // HOUR_MS + hour.index)
        hour_ms = self._start_ms + hour.index * HOUR_MS
        for part in range(hour.parts):
            part_ms, end_ms = (hour_ms + HOUR_MS * edge // hour.parts for edge in (part, part + 1))
            events, first_number = hour.part_events(part)
            draws = Draws(self._seed, Stream.HOURS, hour.index, part)
            rows = _NO_ROWS
            if events:
                rows = draw_sessions(
                    draws,
                    self._population,
                    events=events,
                    first_number=first_number,
                    start_ms=part_ms,
                    end_ms=end_ms,
                    v2_share=self._v2_share,
                )
                rows = self._carry(plant(draws, rows, self._plan), hour_ms + HOUR_MS)
            waiting = np.concatenate([waiting, rows])
            has_arrived = waiting["arrival_ms"] < end_ms
            yield events, _by_arrival(waiting[has_arrived])
            waiting = waiting[~has_arrived]

    def _carry(self, rows: Rows, hour_end_ms: int) -> Rows:
        """Put away the rows that arrive after this hour, and return the others."""
        later = rows[rows["arrival_ms"] >= hour_end_ms]
        later = later[np.argsort(later["arrival_ms"], kind="stable")]
        hours, firsts = np.unique(later["arrival_ms"] // HOUR_MS, return_index=True)
        lasts = [*firsts[1:].tolist(), len(later)]
        for hour, first, last in zip(hours.tolist(), firsts.tolist(), lasts, strict=False):
            # a copy, because a slice would keep all of them alive for as long as its rows wait
            self._carried.setdefault(hour, []).append(later[first:last].copy())
        return rows[rows["arrival_ms"] < hour_end_ms]

    def _take(self, hour: int) -> Rows:
        return np.concatenate([_NO_ROWS, *self._carried.pop(hour, [])])


def _by_arrival(rows: Rows) -> Rows:
    return rows[np.argsort(rows["arrival_ms"], kind="stable")]


def _require_own_folder(out: Path, arguments: dict[str, object]) -> Planted | None:
    """Return what an earlier run with the same arguments finished here, if one did."""
    owner = read_arguments(out)
    if owner is not None and owner != arguments:
        raise SettingsError(
            "The folder holds events that were generated with other arguments.",
            remedy="Generate into an empty folder.",
            folder=str(out),
            expected=str(arguments),
            got=str(owner),
        )
    known = load_planted(out)
    strangers = event_files(out) - set(known.files) if known is not None else event_files(out)
    if strangers and (owner is None or known is not None):
        raise SettingsError(
            "The folder holds hourly files of another origin.",
            remedy=f"Generate into a folder whose {SOURCE}/events_*.jsonl are all listed in its {TRUTH_FOLDER} folder.",
            folder=str(out),
            got=", ".join(sorted(strangers)[:5]),
        )
    return known
