"""What is imported without looking for garbage."""

from __future__ import annotations

import gc

import pytest

from ml_data_platform.importing import no_look_for_garbage


@pytest.mark.parametrize("was_enabled", [True, False])
def test_garbage_is_looked_for_again_where_it_was_before(was_enabled: bool) -> None:
    """Also where an import fails."""
    before, seen = gc.isenabled(), list[bool]()

    def broken() -> None:
        seen.append(gc.isenabled())
        raise ImportError

    try:
        (gc.enable if was_enabled else gc.disable)()
        with pytest.raises(ImportError), no_look_for_garbage():
            broken()
        assert [*seen, gc.isenabled()] == [False, was_enabled]
    finally:
        (gc.enable if before else gc.disable)()
