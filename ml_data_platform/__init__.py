"""Raw events in, training data that can be trusted out.

::

    landing/<source>/                 files as producers drop them: any order, any day, v1 and v2 mixed
       │  landed_files                original bytes kept, one ledger record per file, rows routed to days
       ▼
    raw_events[D]                     every landed row whose event_time falls on UTC day D
       │                    ┌───────► quarantined_events[D]   rejected and duplicate rows, with the rule names
       ▼                    │
    validated_events[D] ────┘         one schema, typed, valid, deduplicated
       │  (reads D-1, D, D+1)
       ▼
    session_features[D]               one row per event, point-in-time; label once mature
    session_summaries[D]              one row per session: label side, never a feature
       ▼
    date_partitions[D]  label_partitions[D]  stratified_partitions[D]
       ▼
    dataset_versions                  a git tag with DVC: the days, rows and bytes that training may use
       ▼
    conversion_model                  a baseline trained on one version, with the manifest that traces it

Rooms, from the bottom up: ``events`` (what an event is), ``features`` and ``training`` (pure), ``storage``,
``validation``, ``landing``, ``stages`` (one module per asset, no Dagster), ``datasets`` (versions of the training data), ``defs`` (the only Dagster code),
``cli``.
"""
