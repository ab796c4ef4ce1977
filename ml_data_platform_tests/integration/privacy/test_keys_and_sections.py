"""Masks over time: another key, another ``pii`` section, the same file again."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_data_platform.errors import SettingsError
from ml_data_platform.events.contracts import load_contracts
from ml_data_platform.events.registry_file import SHIPPED_SOURCES
from ml_data_platform.settings import Settings
from ml_data_platform.stages import landed_files
from ml_data_platform.stages.landed_files import notices_on_masking
from ml_data_platform.stages.platform import Platform, open_platform
from ml_data_platform.stages.state import current_records

PLAIN = "source: shop\nformat: jsonl\nschema_version: 2\n"
SECTION = "pii: {columns: {mail: mask}}\n"
EVENT = {"user_id": "u1", "session_uuid": "s1", "event_type": "search", "event_timestamp": 1772452800000}


class Shop:
    """A root with one source, whose contract and keys tests change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent = folder / "sent.jsonl"
        self.sent.write_text(json.dumps({**EVENT, "mail": "a@example.org", "phone": "555"}) + "\n")

    def opened(self, contract: str) -> Platform:
        sources = self.folder / "sources"
        sources.mkdir(exist_ok=True)
        (sources / "shop.yaml").write_text(contract)
        return open_platform(Settings(root=self.folder / "root", landing=self.folder / "landing", sources=sources))

    def land(self, contract: str, path: Path | None = None) -> landed_files.LandedFile:
        (result,) = landed_files.land_named(self.opened(contract), "shop", [path or self.sent])
        return result

    def landed(self, contract: str) -> list[dict[str, object]]:
        """Return the rows of all current records."""
        platform = self.opened(contract)
        paths = [
            platform.store.objects.local_path(
                f"_store/landed_files/objects/{record.fragment[:2]}/{record.fragment}.parquet"
            )
            for record in current_records(platform)
            if record.fragment
        ]
        return [json.loads(text) for path in paths for text in pq.read_table(path)["landed"].to_pylist()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty root."""
    return Shop(tmp_path)


def test_the_same_file_again_is_known(shop):
    """Its bytes are recognised by a keyed hash, which is not their SHA-256; the record names the key of its masks."""
    first, again = shop.land(PLAIN + SECTION), shop.land(PLAIN + SECTION)
    assert (first.outcome, again.outcome) == ("landed", "known")
    import hashlib

    record = first.record
    plain = hashlib.sha256(shop.sent.read_bytes()).hexdigest()
    assert plain not in {record.sha256, record.kept_sha256}
    secret = bytes.fromhex((shop.folder / "root" / "secrets" / "pii.key").read_text())
    assert record.masking["key_id"] == hashlib.sha256(secret).hexdigest()[:8]
    kept = (shop.folder / "root" / "raw" / record.kept_sha256).read_bytes()
    assert hashlib.sha256(kept).hexdigest() == record.kept_sha256


def test_keys_are_private_and_lie_where_the_setting_says(tmp_path):
    """Landing makes keys with mode 0600 in the folder of the setting, and none in the root; opening makes none."""
    settings = Settings(root=tmp_path / "root", landing=tmp_path / "landing", secrets=tmp_path / "keys")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "shop.yaml").write_text(PLAIN + SECTION)
    platform = open_platform(settings.model_copy(update={"sources": tmp_path / "own"}))
    assert platform.masked_with == "none"
    assert not (tmp_path / "keys").exists()
    landed_files.landing_terms(platform)
    names = {"user_id.key", "pii.key", "file_id.key"}
    assert {path.name for path in (tmp_path / "keys").iterdir()} == names
    assert {stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) for name in names} == {0o600}
    assert not (tmp_path / "root" / "secrets").exists()


def test_another_key_is_said_and_landing_again_replaces(shop):
    """Another key is refused until it is accepted; the original landed again takes the place of the old key's rows."""
    shop.land(PLAIN + SECTION)
    (before,) = shop.landed(PLAIN + SECTION)
    old = shop.opened(PLAIN + SECTION).masking_keys.key_id
    (shop.folder / "root" / "secrets" / "pii.key").write_text("ab" * 32)
    with pytest.raises(SettingsError, match=r"masked is another one than the root's.*keys new pii") as refused:
        shop.land(PLAIN + SECTION)
    assert refused.value.expected == f"key {old}"
    assert notices_on_masking(shop.opened(PLAIN + SECTION)) == ()
    accepted = shop.opened(PLAIN + SECTION).keys.accept("pii")
    platform = shop.opened(PLAIN + SECTION)
    (notice,) = notices_on_masking(platform)
    assert old in notice
    assert accepted in notice
    assert landed_files.waiting_files(platform).outdated == 0
    assert shop.land(PLAIN + SECTION).outcome == "landed"
    (after,) = shop.landed(PLAIN + SECTION)
    assert before["mail"] != after["mail"]
    assert notices_on_masking(shop.opened(PLAIN + SECTION)) == ()


def test_another_section_is_said_and_landing_again_replaces(shop):
    """What a section masks now and kept then is named; the file as it came brings it under the present section."""
    keeping = PLAIN + "pii: {columns: {mail: mask, phone: keep}}\n"
    masking = PLAIN + "pii: {columns: {mail: mask, phone: mask}}\n"
    shop.land(keeping)
    (notice,) = notices_on_masking(shop.opened(masking))
    assert "phone: keep then, mask now" in notice
    (refused,) = landed_files.land_inbox(shop.opened(masking))
    assert refused.outcome == "unreadable"
    assert "Land the file as it came again" in refused.reason
    assert [row["phone"] for row in shop.landed(masking)] == ["555"]
    assert shop.land(masking).outcome == "landed"
    (row,) = shop.landed(masking)
    assert row["phone"].startswith("masked_")
    assert notices_on_masking(shop.opened(masking)) == ()


def test_what_only_reads_otherwise_is_read_from_the_masked_rows(shop):
    """A change that concerns no mask, such as the unit of times, is applied to what is kept."""
    shop.land(PLAIN + SECTION)
    (again,) = landed_files.land_inbox(shop.opened(PLAIN + SECTION + "event_time: {epoch_unit: us}\n"))
    assert again.outcome == "landed"
    assert again.record.undated == {"event_time_before_start_date": 1}


def test_values_masked_for_not_parsing_are_said_and_landing_again_replaces(shop):
    """A time in another unit than the contract says is no time, and masked; once it says so, the file is landed again."""
    wrong = PLAIN + SECTION + 'event_time: {format: "%Y-%m-%d"}\n'
    wrong = wrong.replace("schema_version: 2", "schema_version: 1\ncolumns: {timestamp: event_timestamp}")
    right = wrong.replace('"%Y-%m-%d"', "epoch").replace("format: epoch", "format: epoch, epoch_unit: ms")
    first = shop.land(wrong)
    assert first.record.undated == {"event_time_unreadable": 1}
    assert first.record.unparsed_rows == 1
    (notice,) = notices_on_masking(shop.opened(right))
    assert "1 landed file hold rows of which a value did not parse" in notice
    (refused,) = landed_files.land_inbox(shop.opened(right))
    assert refused.outcome == "unreadable"
    assert "Land the file as it came again" in refused.reason
    again = shop.land(right)
    assert (again.outcome, again.record.undated, again.record.unparsed_rows) == ("landed", {}, 0)
    (row,) = shop.landed(right)
    assert row["event_timestamp"] == EVENT["event_timestamp"]
    assert notices_on_masking(shop.opened(right)) == ()


@pytest.mark.parametrize(
    ("first", "then"), [(PLAIN, PLAIN + SECTION), (PLAIN + SECTION, PLAIN)], ids=["begins", "ends"]
)
def test_masked_and_unmasked_files_do_not_mix(shop, first, then):
    """A source that begins or ceases to mask lands nothing more, and says why and what to do."""
    shop.land(first)
    result = shop.land(then)
    assert result.outcome == "unreadable"
    assert "Start a new root" in result.reason
    assert len(shop.landed(then)) == 1
    assert "nothing more is landed" in notices_on_masking(shop.opened(then))[0]


def test_a_refused_file_is_tried_again_under_another_contract_only(shop):
    """A file that leaves nothing is not read again and again; a changed contract is the reason to."""
    folder = shop.folder / "landing" / "shop"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("user,mail\nu1,a@example.org\n")
    refusing = (
        PLAIN.replace("jsonl", "csv") + "columns: {user_id: user, session_uuid: s, event_type: e, event_timestamp: t}\n"
    )
    os_time = 1_700_000_000
    import os

    os.utime(folder / "a.csv", (os_time, os_time))
    (result,) = landed_files.land_inbox(shop.opened(refusing + SECTION))
    assert result.outcome == "rejected"
    assert result.record is None
    assert "example" not in result.reason
    assert landed_files.waiting_files(shop.opened(refusing + SECTION)).is_empty
    other = refusing.replace("event_timestamp: t", "event_timestamp: mail").replace(
        "s, event_type: e", "user, event_type: user"
    )
    assert len(landed_files.waiting_files(shop.opened(other + "pii: {}\n")).files) == 1


def test_shipped_sources_mask_nothing():
    """No shipped contract has a section, so that nothing of theirs changes."""
    assert not any(contract.pii for contract in load_contracts(SHIPPED_SOURCES).values())
