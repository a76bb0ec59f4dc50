-- The records of `lines`: folded, each model call marked once, joined with their results.
-- The rules are those of docs/record.md; cert_otel.journal states them in Python.

-- Of the lines about one span the latest scored one counts.
CREATE TEMP TABLE superseded AS
SELECT line
FROM repeated
LEFT JOIN texts USING (line)
QUALIFY row_number() OVER (
    PARTITION BY subject, if(is_anonymous, text, NULL)
    ORDER BY score_rank DESC, started DESC, text DESC, line
) > 1;

CREATE TEMP VIEW spans AS
SELECT *
FROM lines
ANTI JOIN superseded USING (line)
WHERE is_record AND NOT is_result;

CREATE TEMP VIEW calls AS
SELECT
    *,
    hash(trace_id) AS trace_hash,
    if(response_id IS NULL, NULL, hash(response_id)) AS response_hash
FROM spans
WHERE
    kind IN ('inference', 'embedding')
    AND duplicate_of IS NULL
    AND trace_id IS NOT NULL
    AND span_id IS NOT NULL;

-- Traces with calls of which one may be another: one of the two has no response id, or both have
-- the same. Hashes are small; where two collide, a trace is looked at in vain.
CREATE TEMP TABLE crowded AS
SELECT DISTINCT trace_hash, kind
FROM (
    SELECT trace_hash, kind
    FROM calls
    GROUP BY trace_hash, kind, response_hash
    HAVING count(*) > 1 OR response_hash IS NULL
)
UNION
SELECT trace_hash, kind
FROM calls
SEMI JOIN (
    SELECT kind, response_hash
    FROM calls
    WHERE response_hash IS NOT NULL
    GROUP BY kind, response_hash
    HAVING min(scope) <> max(scope)
) AS recorded_by_several USING (kind, response_hash);

CREATE TEMP TABLE contest AS
SELECT
    line,
    trace_id,
    span_id,
    parent_span_id,
    kind,
    response_id,
    model,
    request_model,
    started,
    latency_ms,
    scope,
    epoch(started) * 1e6 AS start_us,
    start_us + latency_ms * 1000 AS end_us,
    tokens.prompt IS NOT NULL OR tokens.completion IS NOT NULL AS has_usage
FROM calls
SEMI JOIN crowded USING (trace_hash, kind);

CREATE TEMP TABLE relatives AS
SELECT trace_id, span_id, parent_span_id
FROM spans
SEMI JOIN contest USING (trace_id)
WHERE span_id IS NOT NULL;

-- Each contestant with all that is above it, up to the root or to a span without a record.
CREATE TEMP TABLE ancestry AS
WITH RECURSIVE
    climb AS (
        SELECT trace_id, span_id, parent_span_id AS ancestor_id
        FROM contest
        WHERE parent_span_id <> span_id
        UNION
        SELECT climb.trace_id, climb.span_id, above.parent_span_id
        FROM climb
        JOIN relatives AS above
            ON above.trace_id = climb.trace_id AND above.span_id = climb.ancestor_id
        WHERE above.parent_span_id <> climb.span_id
    )
SELECT climb.*, above.span_id IS NULL AS is_missing
FROM climb
LEFT JOIN relatives AS above
    ON above.trace_id = climb.trace_id AND above.span_id = climb.ancestor_id;

-- An inner call may end up to 1000 us after the outer one: streams are finished by callbacks.
CREATE TEMP VIEW nested_by_links AS
SELECT outside, inside
FROM contest AS inside
JOIN ancestry USING (trace_id, span_id)
JOIN contest AS outside
    ON outside.trace_id = ancestry.trace_id
    AND outside.span_id = ancestry.ancestor_id
    AND outside.kind = inside.kind
WHERE
    CASE
        WHEN outside.response_id IS NOT NULL AND inside.response_id IS NOT NULL THEN
            outside.response_id = inside.response_id
        ELSE
            list_has_any(
                [outside.model, outside.request_model], [inside.model, inside.request_model]
            )
            AND outside.start_us <= inside.start_us
            AND inside.end_us <= outside.end_us + 1000
    END;

-- Where the way up breaks off, time tells; but not of two that break off at the same span. Who is
-- inside is decided below.
CREATE TEMP VIEW nested_by_time AS
WITH
    broken AS (SELECT trace_id, span_id, ancestor_id AS missing_id FROM ancestry WHERE is_missing)
SELECT outside, inside
FROM contest AS inside
JOIN broken USING (trace_id, span_id)
JOIN contest AS outside
    ON outside.trace_id = inside.trace_id
    AND outside.kind = inside.kind
    AND outside.response_id = inside.response_id
    AND outside.span_id <> inside.span_id
    AND outside.start_us <= inside.start_us
    AND outside.end_us >= inside.start_us
    AND inside.end_us <= outside.end_us + 1000
LEFT JOIN broken AS outside_broken
    ON outside_broken.trace_id = outside.trace_id AND outside_broken.span_id = outside.span_id
WHERE outside_broken.missing_id IS DISTINCT FROM broken.missing_id;

-- Two instrumentors that recorded one reply, whatever the parents of their spans.
CREATE TEMP VIEW nested_by_scope AS
SELECT outside, inside
FROM contest AS inside
JOIN contest AS outside
    ON outside.kind = inside.kind
    AND outside.response_id = inside.response_id
    AND outside.scope <> inside.scope
    AND outside.start_us <= inside.start_us
    AND outside.end_us >= inside.start_us
    AND inside.end_us <= outside.end_us + 1000;

-- Of two the one with usage counts, then the inner one: it starts later or is shorter.
CREATE TEMP TABLE duplicates AS
WITH
    pairs AS (
        FROM nested_by_links
        UNION ALL
        FROM nested_by_time
        UNION ALL
        FROM nested_by_scope
    ),
    weighed AS (
        SELECT
            outside.line AS outside,
            inside.line AS inside,
            -- To the last id: of two that weigh the same, neither or both would count.
            (
                outside.has_usage,
                outside.started,
                -coalesce(outside.latency_ms, 0),
                outside.span_id,
                outside.trace_id
            ) > (
                inside.has_usage,
                inside.started,
                -coalesce(inside.latency_ms, 0),
                inside.span_id,
                inside.trace_id
            ) AS outside_counts
        FROM pairs
    )
SELECT if(outside_counts, inside, outside) AS line FROM weighed
UNION
SELECT line FROM spans WHERE duplicate_of IS NOT NULL;

-- Of each scorer the latest result, and of those the latest that judged.
CREATE TEMP TABLE verdicts AS
SELECT trace_id, span_id, arg_max_null(passed, (started, scorer)) AS passed
FROM lines
ANTI JOIN superseded USING (line)
WHERE is_record AND is_result AND confidence IS NOT NULL
GROUP BY trace_id, span_id;

-- What everything else asks. `folded` are those that do not count.
CREATE TEMP VIEW records AS
SELECT
    lines.* EXCLUDE (passed),
    superseded.line IS NOT NULL OR duplicates.line IS NOT NULL AS folded,
    if(verdicts.trace_id IS NULL, lines.passed, verdicts.passed) AS passed
FROM lines
LEFT JOIN superseded USING (line)
LEFT JOIN duplicates USING (line)
LEFT JOIN verdicts USING (trace_id, span_id)
WHERE is_record AND NOT is_result;
