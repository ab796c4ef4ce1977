-- One row per session of the day, from the day's events alone. Label-side: a whole session is known only
-- when it is over, so nothing here may be a feature.
--   ${events}   validated events of the day
SELECT
    session_uuid,
    min(source) AS source,
    min(user_id) AS user_id,
    min(event_timestamp) AS session_start,
    max(event_timestamp) AS session_end,
    count(*) AS event_count,
    CAST(@micros(max(event_timestamp)) - @micros(min(event_timestamp)) AS DOUBLE)
        / CAST(1000000 AS DOUBLE) AS session_duration_seconds,
    count(CASE WHEN event_type = 'purchase' THEN 1 END) > 0 AS has_purchase,
    count(CASE WHEN event_type = 'purchase' THEN 1 END) AS purchase_count,
    CAST(sum(
        CASE
            WHEN event_type = 'purchase' AND purchase_amount_usd IS NOT NULL
                THEN CAST(round(purchase_amount_usd * 100) AS BIGINT)
            ELSE CAST(0 AS BIGINT)
        END
    ) AS BIGINT) AS spend_cents
FROM ${events}
GROUP BY session_uuid
