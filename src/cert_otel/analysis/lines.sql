-- The lines of the files in the variable `paths`, read once, and which of them repeat another.
-- The rules are those of docs/record.md; cert_otel.journal states them in Python.

CREATE OR REPLACE TYPE RECORD_KIND AS ENUM (
    'inference', 'embedding', 'retrieval', 'tool', 'agent', 'chain', 'function', 'evaluation'
);
CREATE OR REPLACE TYPE RECORD_STATUS AS ENUM ('ok', 'error', 'unset');
CREATE OR REPLACE TYPE SCORE_STATUS AS ENUM ('scored', 'deferred', 'skipped', 'error');

-- In the order of the files and of the lines in them (rowid): DuckDB keeps it through a scan and
-- what is computed row by row, but not through a join, and even IN is planned as one. Hence the
-- enums. The columns are named, so that nothing is guessed from the data; a line that is no JSON
-- object is a row of nulls.
CREATE TEMP TABLE scanned AS
SELECT
    file_index AS file,
    try_cast(kind AS RECORD_KIND) AS kind,
    kind = 'evaluation' AS is_result,
    CASE WHEN isfinite("timestamp") THEN make_timestamp(epoch_us("timestamp")) END AS started,
    nullif(trace_id, '') AS trace_id,
    nullif(span_id, '') AS span_id,
    nullif(parent_span_id, '') AS parent_span_id,
    nullif(response_id, '') AS response_id,
    service,
    platform,
    model,
    request_model,
    -- CERT had tokens and latency in the metadata.
    CASE
        WHEN tokens IS NOT NULL OR metadata.tokens IS NULL THEN tokens
        ELSE {
            prompt: coalesce(
                metadata.tokens.prompt, metadata.tokens.prompt_tokens, metadata.tokens.input_tokens
            ),
            completion: coalesce(
                metadata.tokens.completion,
                metadata.tokens.completion_tokens,
                metadata.tokens.output_tokens
            ),
            cache_read: NULL,
            cache_write: NULL,
            reasoning: NULL
        }
    END AS tokens,
    coalesce(latency_ms, metadata.latency_ms) AS latency_ms,
    -- Exact, from the digits in the file: a sum depends on neither order nor number of threads.
    try_cast(json.cost AS DECIMAL(36, 27)) AS cost,
    currency,
    try_cast(coalesce(json.status, 'ok') AS RECORD_STATUS) AS status,
    error_type,
    confidence,
    passed,
    try_cast(coalesce(json.score_status, if(is_result, 'scored', NULL)) AS SCORE_STATUS)
        AS score_status,
    scorer,
    duplicate_of,
    coalesce(metadata."otel.scope.name", '') AS scope,
    coalesce(
        coalesce(v, '1') = '1'
        AND try_cast(kind AS RECORD_KIND) IS NOT NULL
        AND started IS NOT NULL
        AND (json.cost IS NULL) = (try_cast(json.cost AS DECIMAL(36, 27)) IS NULL)
        AND try_cast(coalesce(json.status, 'ok') AS RECORD_STATUS) IS NOT NULL
        AND (
            NOT is_result
            OR json.trace_id IS NOT NULL AND json.span_id IS NOT NULL AND scorer IS NOT NULL
        ),
        false
    ) AS is_record
FROM read_json(
    getvariable('paths'),
    format = 'newline_delimited',
    compression = 'uncompressed',
    hive_partitioning = false,
    ignore_errors = true,
    maximum_object_size = getvariable('longest_line'),
    columns = {
        v: 'VARCHAR',
        kind: 'VARCHAR',
        timestamp: 'TIMESTAMPTZ',
        trace_id: 'VARCHAR',
        span_id: 'VARCHAR',
        parent_span_id: 'VARCHAR',
        response_id: 'VARCHAR',
        service: 'VARCHAR',
        platform: 'VARCHAR',
        model: 'VARCHAR',
        request_model: 'VARCHAR',
        tokens: 'STRUCT(
            prompt BIGINT, completion BIGINT, cache_read BIGINT, cache_write BIGINT, reasoning BIGINT
        )',
        cost: 'VARCHAR',
        currency: 'VARCHAR',
        latency_ms: 'DOUBLE',
        status: 'VARCHAR',
        error_type: 'VARCHAR',
        confidence: 'DOUBLE',
        passed: 'BOOLEAN',
        score_status: 'VARCHAR',
        scorer: 'VARCHAR',
        duplicate_of: 'VARCHAR',
        metadata: 'STRUCT(
            "otel.scope.name" VARCHAR,
            latency_ms DOUBLE,
            tokens STRUCT(
                prompt BIGINT, prompt_tokens BIGINT, input_tokens BIGINT,
                completion BIGINT, completion_tokens BIGINT, output_tokens BIGINT
            )
        )'
    }
) AS json;

CREATE TEMP VIEW lines AS
SELECT rowid AS line, * FROM scanned;

-- Lines about one span, or by one scorer about one span; and without ids, lines that look alike.
CREATE TEMP TABLE repeated AS
WITH
    keyed AS NOT MATERIALIZED (
        SELECT
            line,
            file,
            trace_id,
            span_id,
            is_result,
            if(is_result, scorer, NULL) AS judge,
            started,
            CASE score_status WHEN 'scored' THEN 2 ELSE if(score_status IS NULL, 0, 1) END
                AS score_rank,
            trace_id IS NULL OR span_id IS NULL AS is_anonymous,
            if(is_anonymous, hash(*COLUMNS(* EXCLUDE (line, file))), NULL) AS lookalike
        FROM lines
        WHERE is_record
    ),
    subjects AS (
        SELECT trace_id, span_id, is_result, judge, lookalike, row_number() OVER () AS subject
        FROM keyed
        GROUP BY trace_id, span_id, is_result, judge, lookalike
        HAVING count(*) > 1
    )
SELECT line, file, subject, is_anonymous, score_rank, started
FROM keyed
JOIN subjects
    ON subjects.trace_id IS NOT DISTINCT FROM keyed.trace_id
    AND subjects.span_id IS NOT DISTINCT FROM keyed.span_id
    AND subjects.is_result = keyed.is_result
    AND subjects.judge IS NOT DISTINCT FROM keyed.judge
    AND subjects.lookalike IS NOT DISTINCT FROM keyed.lookalike;

-- Of those, the ones that only their text tells apart: Python puts it into `texts`.
CREATE TEMP VIEW tied AS
WITH
    compared AS (
        SELECT repeated.*, hash(*COLUMNS(lines.* EXCLUDE (line, file))) AS looks
        FROM repeated
        JOIN lines USING (line)
    )
SELECT line, file
FROM compared
WINDOW
    best AS (PARTITION BY subject ORDER BY score_rank DESC, started DESC),
    equal AS (PARTITION BY subject, score_rank, started)
QUALIFY is_anonymous OR rank() OVER best = 1 AND min(looks) OVER equal <> max(looks) OVER equal;

CREATE TEMP TABLE texts (line BIGINT, text VARCHAR);
