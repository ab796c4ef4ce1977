"""Dagster's web server behind the guard: ``python -m …web_server WORKSPACE PORT INSTANCE [ALLOWED_HOST…]``.

Belongs here: serving the UI on 127.0.0.1. Does not belong here: which requests may
reach it (``guard``).
"""

import logging
import sys
from collections.abc import Sequence

import dagster as dg
import uvicorn
from dagster._core.instance import InstanceRef
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._serdes import deserialize_value
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import (
    DEFAULT_DB_STATEMENT_TIMEOUT,
    DEFAULT_POOL_MAX_OVERFLOW,
    DEFAULT_POOL_RECYCLE,
)
from dagster_webserver.version import __version__

from ml_data_platform.defs.serving.guard import Guard

HOST = "127.0.0.1"
POLL_MILLISECONDS = 2_000
CLOSE_SECONDS = 2
"""Open websockets are closed after as long; a browser opens them again with the next server."""


def serve(workspace: str, port: int, ref: str, allowed_hosts: Sequence[str] = ()) -> None:
    """Serve the UI until the process is interrupted.

    Args:
        workspace: Path of the workspace file.
        port: Of 127.0.0.1.
        ref: The instance, serialised; that in ``DAGSTER_HOME`` where empty.
        allowed_hosts: Names under which a reverse proxy serves it.
    """
    configure_loggers(formatter="colored", log_level="INFO")
    opened = dg.DagsterInstance.from_ref(deserialize_value(ref, InstanceRef)) if ref else dg.DagsterInstance.get()
    with opened as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget([workspace])
        with WorkspaceProcessContext(instance, workspace_load_target=target, version=__version__) as context:
            server = uvicorn.Server(guarded(context, port, allowed_hosts))
            logging.getLogger("dagster-webserver").info("Serving the UI on http://%s:%s", HOST, port)
            server.run()
    if not server.started:
        sys.exit(f"the UI could not be served on {HOST}:{port}")


def guarded(context: WorkspaceProcessContext, port: int, allowed_hosts: Sequence[str] = ()) -> uvicorn.Config:
    """Return how Dagster's web server is served behind the guard."""
    return uvicorn.Config(
        Guard(create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MILLISECONDS), allowed_hosts),
        host=HOST,
        port=port,
        log_level="warning",
        # who is asked is told by Host and Origin alone
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
