"""The outcome of any sequence of commits, against a model of three lines."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ml_data_platform.errors import CommitConflictError
from ml_data_platform.storage.commit_log import content_hash
from ml_data_platform.storage.table_store import TableStore
from ml_data_platform_tests.examples import tried
from ml_data_platform_tests.storage_tables import DAY, PARTED, SINGLE, assert_whole, present, shown_generations, stage

NAMES = st.text("abcxyz=/.", min_size=1, max_size=6)
HASHES = st.sampled_from([letter * 64 for letter in "0123"])
COMMITS = st.lists(
    st.tuples(
        st.integers(1, 2),  # content
        st.integers(1, 2),  # inputs
        st.sampled_from(["1", "2"]),  # code version
        st.integers(0, 2),  # how many generations behind the head the writer read
        st.booleans(),  # whether its inputs are required now
    ),
    min_size=1,
    max_size=7,
)


@given(commits=COMMITS, table=st.sampled_from([SINGLE, PARTED]))
@tried(25)
def test_every_sequence_of_commits_ends_as_the_model_says(commits, table):
    """Committed iff the head was read and anything differs; overtaken: same result, rebase, or conflict.

    The model keeps a list of (content, inputs, code version); the store must have the same list, show its
    last, and reuse one object per content.
    """
    model: list[tuple[int, int, str, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        store = TableStore(Path(folder), present)
        for number, (content, inputs, code, behind, current) in enumerate(commits):
            expected = max(0, len(model) - behind)
            fact = (content, inputs, code, expected)
            with store.scratch() as scratch:
                staged = stage(
                    store, scratch, table, content, expected=expected, inputs={"in": str(inputs)}, code_version=code
                )
                try:
                    outcome = store.commit(
                        staged, run_id=str(number), inputs_are_current=lambda _, c=current: c
                    ).outcome
                except CommitConflictError:
                    outcome = "conflict"
            overtaken = expected < len(model)
            is_retry = fact in model[expected:]
            facts_that_count = 2 if overtaken else 3
            if is_retry or (model and model[-1][:facts_that_count] == fact[:facts_that_count]):
                wanted = "unchanged"
            elif overtaken:
                wanted = "rebased" if current else "conflict"
            else:
                wanted = "committed"
            assert outcome == wanted
            if outcome in {"committed", "rebased"}:
                model.append(fact)
            assert_whole(store, table, {model[-1][0]})
        history = store.log.history(table.name, DAY)
        assert [(record.inputs["in"], record.code_version) for record in history] == [
            (str(inputs), code) for _, inputs, code, _ in model
        ]
        assert [record.generation for record in history] == list(range(1, len(model) + 1))
        objects = store.objects.list(f"_store/{table.name}/objects")
        tried = {content for content, *_ in commits}
        assert len(objects) <= len(tried) * len(table.files)
        assert shown_generations(store.objects.root, table) == {model[-1][0]}


@given(files=st.dictionaries(NAMES, HASHES, max_size=4), other=st.dictionaries(NAMES, HASHES, max_size=4))
def test_content_hashes_are_equal_exactly_for_equal_files(files, other):
    """The content hash identifies the set of (name, bytes), whatever the order."""
    assert content_hash(files.items()) == content_hash(reversed(list(files.items())))
    assert (content_hash(files.items()) == content_hash(other.items())) == (files == other)
