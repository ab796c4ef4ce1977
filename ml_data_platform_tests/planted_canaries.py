"""Files of producers that send personal data, with canaries planted in every place that a value can end up in.

Written down by hand: nothing of the platform is asked. Every canary holds one of three stems, so that a scan for the
stems finds it in whatever it was copied into; the canaries themselves tell where it was planted.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

STEM, PHONE_STEM, ADDRESS_STEM = "c4n4ryb1rd", "5550198", "198.51.100."
DAY = "2026-03-02"
SOURCES = ("canary_csv", "canary_times", "canary_jsonl", "canary_parquet", "canary_array")
_MAPPED = "columns: {user_id: user, session_id: session, event_type: kind, timestamp: at, purchase_amount_usd: amount}"
_CSV = f"format: csv\nschema_version: 1\n{_MAPPED}\n"
CONTRACTS = {
    "canary_csv": _CSV,
    "canary_times": _CSV.replace("timestamp: at", "timestamp: day") + "event_time: {time_column: clock}\n",
    "canary_jsonl": f"format: jsonl\nschema_version: 1\n{_MAPPED.replace('{', '{event_id: id, ')}\n",
    "canary_parquet": f"format: parquet\nschema_version: 1\n{_MAPPED.replace('{', '{event_id: id, ')}\n",
}
CONTRACTS["canary_array"] = CONTRACTS["canary_jsonl"]
ODD = ' " \\ / \u00e9 \U0001f600'
"""What has several forms in CSV and JSON."""
FLAT_SECTION = "pii: {columns: {email: mask, phone: drop, ip: mask, page: keep}}\n"
NESTED_SECTION = "pii: {columns: {email: mask, phone: drop, client.ip: mask, page: keep}}\n"


def contract_text(source: str, *, is_masked: bool = True) -> str:
    """Return the YAML of one of the sources, with its ``pii`` section or without."""
    section = FLAT_SECTION if source in {"canary_csv", "canary_times"} else NESTED_SECTION
    return f"source: {source}\n{CONTRACTS[source]}{section if is_masked else ''}"


class Planting:
    """One file's content, and the canaries in it.

    Attributes:
        canaries: What was planted, by place.
    """

    def __init__(self, source: str, variant: str) -> None:
        self.source = source
        self._mark = f"{source}.{variant}"
        self._number = SOURCES.index(source) * 40 + (20 if variant == "zipped" else 0)
        self.canaries: dict[str, str] = {}

    def row(self, place: str, **changes: Any) -> dict[str, Any]:
        """Return a row whose personal columns hold canaries of that place."""
        self._number += 1
        values: dict[str, Any] = {
            "id": f"{self._mark}.{place}",
            "user": f"u{self._number}",
            "session": f"s{self._number}",
            "kind": "search",
            "at": f"{DAY}T10:00:{self._number % 60:02}Z",
            "amount": None,
            "page": "/home",
        }
        personal = {
            "email": lambda: self.loose(f"{place}.email"),
            "phone": lambda: self._planted(f"{place}.phone", f"+1{PHONE_STEM}{self._number:03}"),
            "ip": lambda: self._planted(f"{place}.ip", f"{ADDRESS_STEM}{self._number}"),
            "unknown": lambda: self.loose(f"{place}.unknown"),
        }
        planted = {name: plant() for name, plant in personal.items() if name not in changes}
        return {**values, **planted, **changes}

    def rows(self) -> list[dict[str, Any]]:
        """Return rows that are published, repeated, rejected and without a day, each with canaries of its own."""
        twice = self.row("duplicate")
        return [
            self.row("good"),
            dict(twice),
            dict(twice),
            self.row("rejected", amount=-5.0, kind="purchase"),
            self.row("undated", at=self.loose("no time")),
            self.row("unparsed", amount=self.loose("no amount"), kind=self.loose("no type")),
            self.row("escaped", email=self.loose("escaped") + ODD),
        ]

    def loose(self, place: str) -> str:
        """Return a new canary, in whatever place the caller puts it."""
        while place in self.canaries:
            place += "'"
        return self._planted(place, f"{STEM}.{self._mark}.{len(self.canaries):03}@Example.org")

    def _planted(self, place: str, text: str) -> str:
        self.canaries[place] = text
        return text


def csv_file(planting: Planting) -> bytes:
    """Return CSV, with a canary in its header, in lines that are no rows, and in a cell that is too long."""
    is_split = planting.source == "canary_times"
    times = ["day", "clock"] if is_split else ["at"]
    header = ["user", "session", "kind", *times, "amount", "page", "email", "phone", "ip", "unknown"]
    lines = [[*header, planting.loose("header")]]
    rows = planting.rows()
    rows.append(planting.row("overlong", unknown=planting.loose("long cell") + "x" * 200_000))
    for row in rows:
        day, _, clock = str(row["at"]).partition("T")
        row.update({"day": day, "clock": clock.removesuffix("Z") or "none"})
        lines.append([*(row[name] for name in header), "1"])
    lines.append(["u", planting.loose("short")])
    lines.append([*([planting.loose("wide")] * 20)])
    text = "\n".join(",".join(_cell(value) for value in line) for line in lines)
    wrong = f'\n"{planting.loose("malformed")}"x,1,2\n'
    return text.encode() + wrong.encode() + planting.loose("not utf-8").encode() + b"\xff,1\n"


def jsonl_file(planting: Planting) -> bytes:
    """Return JSON lines, with canaries in lines that are no objects, in keys, and where an object should stand."""
    lines: list[bytes] = []
    for row in planting.rows():
        landed = {**row, "client": {"ip": row.pop("ip"), "agent": planting.loose("nested")}}
        lines.append(json.dumps(landed, ensure_ascii=len(lines) % 2 == 0).encode())
    odd = planting.row("odd", email=[planting.loose("in a list"), {"x": planting.loose("in a list of objects")}])
    odd["client"] = [{"ip": odd.pop("ip")}, planting.loose("in an array of objects")]
    odd["client.ip"] = planting.loose("dotted key")
    odd[planting.loose("key")] = {planting.loose("key within"): 1}
    odd["kind"] = {"was": planting.loose("object for a text")}
    lines.append(json.dumps(odd, indent=None, separators=(" , ", " : ")).encode())
    plain = planting.row("plain")
    lines.append(json.dumps({**plain, "client": plain.pop("ip")}).encode())
    lines.append(b'{"email": "' + planting.loose("cut off").encode())
    lines.append(b'{"email": "' + planting.loose("not utf-8").encode() + b'\xff"}')
    lines.append(json.dumps([planting.loose("no object")]).encode())
    lines.append(json.dumps(planting.row("too long", unknown=planting.loose("long") + "x" * 1_100_000)).encode())
    return b"\n".join(lines) + b"\n"


def array_file(planting: Planting) -> bytes:
    """Return an array in UTF-16, with canaries in JSON text, in elements that are no objects, and in broken ones."""
    rows: list[str] = []
    for row in planting.rows():
        client: Any = {"ip": row.pop("ip"), "agent": planting.loose("nested")}
        # Every other row has JSON text where the contract names what is within.
        client = json.dumps(client) if len(rows) % 2 else client
        rows.append(json.dumps({**row, "client": client}, indent=1))
    rows += [json.dumps([planting.loose("no object")]), json.dumps(planting.loose("text"))]
    rows += [json.dumps(planting.row("broken")).replace("}", ",}"), '{"email": "' + planting.loose("cut off")]
    return ("[" + ", ".join(rows)).encode("utf-16-le")


def parquet_file(planting: Planting) -> bytes:
    """Return Parquet, with a canary in a column's name, a struct, a list, a map, and in the file's metadata."""
    rows = planting.rows()
    for row in rows:
        ip = row.pop("ip")
        row["client"] = {"ip": ip, "agent": planting.loose("struct")}
        row["tags"] = [planting.loose("list")]
        row["amount"] = None if row["amount"] is None else str(row["amount"])
    rows.append({**rows[0], "id": "long", "unknown": planting.loose("long") + "x" * 1_100_000})
    table = pa.Table.from_pylist(rows)
    pairs = pa.array([[(planting.loose("map key"), 1)]] * len(rows), pa.map_(pa.string(), pa.int64()))
    table = table.append_column(planting.loose("column name"), pairs)
    table = table.replace_schema_metadata({"note": planting.loose("metadata")})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def refused_file(source: str, planting: Planting) -> bytes:
    """Return a file that its contract refuses as a whole: it has other columns, or is damaged."""
    text = planting.loose("refused")
    if source == "canary_jsonl":
        return gzip.compress(json.dumps({"email": text}).encode() * 100)[:-12]
    if source == "canary_array":
        return b'[{"email": {"was": 1}, ' + ",".join(json.dumps({"email": text}) for _ in range(3)).encode()
    if source == "canary_parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({text: [text]}), sink)
        return sink.getvalue()
    return f"{text},{text}\n{text},1\n".encode()


def write_files(folder: Path, source: str) -> dict[str, str]:
    """Write a plain and a gzipped file of a source, and one that is refused.

    Returns:
        Place to canary, of all files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    makers = {"canary_jsonl": jsonl_file, "canary_parquet": parquet_file, "canary_array": array_file}
    canaries: dict[str, str] = {}
    for variant in ("plain", "zipped"):
        planting = Planting(source, variant)
        content = makers.get(source, csv_file)(planting)
        if variant == "zipped":
            name = planting.loose("name within gzip")
            sink = io.BytesIO()
            with gzip.GzipFile(name, "wb", fileobj=sink, mtime=0) as zipped:
                zipped.write(content)
            content = sink.getvalue()
        (folder / f"{variant}.data").write_bytes(content)
        canaries.update({f"{source}.{variant}.{place}": text for place, text in planting.canaries.items()})
    refused = Planting(source, "refused")
    (folder / "refused.data").write_bytes(refused_file(source, refused))
    canaries.update({f"{source}.refused.{place}": text for place, text in refused.canaries.items()})
    return canaries


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in '",\n') else text
