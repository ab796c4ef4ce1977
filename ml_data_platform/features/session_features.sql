-- One row per event of the day: what was known of its session at that instant, and its label.
--
-- Written once for every engine: @names are primitives of a dialect, ${names} are slots.
--   ${events}           validated events of the day before, the day and the day after
--   ${mature_through}   (source, mature_through): up to where the source's events are all seen
--   ${day_start}, ${day_end}   the day as microseconds since 1970, end exclusive
--   ${window}, ${horizon}      microseconds; ${window_inside} is one less, as a literal: bounds are no expressions
--
-- A value over the window (t - 24 h, t] is a running value in the total order of events minus the same
-- value over what has left the window: the events at or before t - 24 h. The first is a ROWS frame, which
-- tells apart events of one instant; the second a RANGE frame over microseconds, whose bounds are exact
-- and which takes all events of an instant together, as time does. The label likewise: all purchases up to
-- t + 24 h, minus those up to and including this event in the total order, are those later than this event.
WITH events AS (
    SELECT
        event_id,
        user_id,
        session_uuid,
        source,
        event_timestamp,
        sequence,
        label AS declared_label,
        @micros(event_timestamp) AS event_micros,
        CASE WHEN event_type = 'add_to_cart' THEN 1 END AS cart,
        CASE WHEN event_type = 'search' THEN 1 END AS search,
        CASE WHEN event_type = 'purchase' THEN 1 END AS purchase,
        CASE
            WHEN event_type = 'purchase' AND purchase_amount_usd IS NOT NULL
                THEN CAST(round(purchase_amount_usd * 100) AS BIGINT)
            ELSE CAST(0 AS BIGINT)
        END AS spend_cents
    FROM ${events}
    -- Of the day after, only purchases matter: they are the labels' side, and later than every row that comes out.
    -- Of both neighbours, only sessions of the day matter; most are not, and windows over them are the greater work.
    WHERE (@micros(event_timestamp) < ${day_end} OR event_type = 'purchase')
        AND session_uuid IN (
            SELECT session_uuid FROM ${events}
            WHERE @micros(event_timestamp) >= ${day_start} AND @micros(event_timestamp) < ${day_end}
        )
),

windowed AS (
    SELECT
        *,
        count(*) OVER running - count(*) OVER expired AS session_event_count,
        count(cart) OVER running - count(cart) OVER expired AS session_cart_count,
        count(search) OVER running - count(search) OVER expired AS session_search_count,
        count(purchase) OVER running - count(purchase) OVER expired AS purchase_count,
        CAST(sum(spend_cents) OVER running AS BIGINT)
            - CAST(coalesce(sum(spend_cents) OVER expired, 0) AS BIGINT) AS window_spend_cents,
        min(event_micros) OVER recent AS first_micros,
        lag(event_micros) OVER ordered AS previous_micros,
        count(purchase) OVER reach - count(purchase) OVER running AS later_purchases
    FROM events
    WINDOW
        ordered AS (
            PARTITION BY session_uuid
            ORDER BY event_micros ASC, sequence ASC NULLS LAST, event_id ASC
        ),
        running AS (
            PARTITION BY session_uuid
            ORDER BY event_micros ASC, sequence ASC NULLS LAST, event_id ASC
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ),
        expired AS (
            PARTITION BY session_uuid
            ORDER BY event_micros ASC
            RANGE BETWEEN UNBOUNDED PRECEDING AND ${window} PRECEDING
        ),
        recent AS (
            PARTITION BY session_uuid
            ORDER BY event_micros ASC
            RANGE BETWEEN ${window_inside} PRECEDING AND CURRENT ROW
        ),
        reach AS (
            PARTITION BY session_uuid
            ORDER BY event_micros ASC
            RANGE BETWEEN UNBOUNDED PRECEDING AND ${horizon} FOLLOWING
        )
),

matured AS (
    SELECT
        windowed.*,
        coalesce(windowed.event_micros + ${horizon} <= @micros(maturity.mature_through), FALSE) AS horizon_is_seen
    FROM windowed
    LEFT JOIN ${mature_through} AS maturity ON windowed.source = maturity.source
    WHERE windowed.event_micros >= ${day_start} AND windowed.event_micros < ${day_end}
),

labelled AS (
    SELECT
        *,
        CASE
            WHEN NOT horizon_is_seen THEN NULL
            WHEN later_purchases > 0 THEN CAST(1 AS TINYINT)
            ELSE CAST(0 AS TINYINT)
        END AS converted
    FROM matured
)

SELECT
    event_id,
    user_id,
    session_uuid,
    source,
    event_timestamp,
    @hour(event_timestamp) AS hour_of_day,
    @weekday(event_timestamp) AS day_of_week,
    @weekday(event_timestamp) >= 5 AS is_weekend,
    session_event_count,
    CAST(event_micros - first_micros AS DOUBLE) / CAST(1000000 AS DOUBLE) AS session_elapsed_seconds,
    CASE
        WHEN previous_micros > event_micros - ${window}
            THEN CAST(event_micros - previous_micros AS DOUBLE) / CAST(1000000 AS DOUBLE)
    END AS seconds_since_previous_event,
    session_cart_count,
    session_search_count,
    purchase_count - coalesce(CAST(purchase AS BIGINT), 0) AS session_purchase_count_before,
    window_spend_cents - spend_cents AS session_spend_cents_before,
    converted,
    coalesce(CAST(declared_label AS TINYINT), converted) AS label,
    declared_label IS NOT NULL OR horizon_is_seen AS label_is_mature
FROM labelled
