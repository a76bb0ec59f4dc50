-- What the model calls of a period cost: one JSON object.
-- Parameters: $since, $until (UTC, null is open), $by ('model', 'service', 'day' or 'task').
WITH
    -- Not materialized: reading two columns again takes less than copying all of them once.
    period AS NOT MATERIALIZED (
        SELECT
            line, kind, started, trace_id, service, platform, model,
            tokens, cost, currency, status, error_type, passed, folded
        FROM records
        WHERE ($since IS NULL OR started >= $since) AND ($until IS NULL OR started < $until)
    ),

    -- A record without a trace is a task of its own.
    calls AS NOT MATERIALIZED (
        SELECT *, coalesce(trace_id, concat('line ', line)) AS task
        FROM period
        WHERE kind = 'inference' AND NOT folded
    ),

    -- Amounts are never added across currencies; one that is not named is one of its own.
    totals AS (
        SELECT currency, sum(cost) AS total, count(*) AS records
        FROM calls
        WHERE cost IS NOT NULL
        GROUP BY currency
    ),

    whole AS (
        SELECT
            count(*) AS currencies,
            if(currencies = 1, any_value(currency), NULL) AS currency,
            if(currencies = 1, any_value(total), NULL) AS total
        FROM totals
    ),

    tasks AS (
        SELECT task, bool_and(status = 'ok' AND passed IS DISTINCT FROM false) AS is_successful
        FROM calls
        GROUP BY task
    ),

    outcomes AS (
        SELECT count(*) AS tasks, count(*) FILTER (is_successful) AS successful_tasks FROM tasks
    ),

    -- An unpriced call stands in the row of the priced ones, unless their currencies differ.
    labelled AS (
        SELECT
            calls.*,
            if(whole.currencies > 1, calls.currency, whole.currency) AS row_currency,
            CASE $by
                WHEN 'service' THEN service
                WHEN 'day' THEN strftime(started, '%Y-%m-%d')
                WHEN 'task' THEN task
            END AS label
        FROM calls
        CROSS JOIN whole
    ),

    grouped AS (
        SELECT
            grouping(label) = 1 AS is_by_model,
            platform,
            model,
            label,
            any_value(trace_id) AS trace_id,
            min(started) AS started,
            row_currency AS currency,
            count(*) AS records,
            count(*) - count(cost) AS unpriced,
            sum(cost) AS cost,
            {
                prompt: sum(tokens.prompt),
                completion: sum(tokens.completion),
                cache_read: sum(tokens.cache_read),
                cache_write: sum(tokens.cache_write),
                reasoning: sum(tokens.reasoning)
            } AS tokens
        FROM labelled
        GROUP BY GROUPING SETS ((platform, model, row_currency), (label, row_currency))
    ),

    shared AS (
        SELECT
            grouped.*,
            grouped.cost / nullif(totals.total, 0) AS share,
            grouped.cost / nullif(grouped.records - unpriced, 0) AS average_per_call
        FROM grouped
        LEFT JOIN totals ON totals.currency IS NOT DISTINCT FROM grouped.currency
    ),

    by_model AS (
        SELECT
            list({
                model: model,
                platform: platform,
                records: records,
                cost: cost,
                currency: currency,
                share: share,
                unpriced: unpriced,
                average_per_call: average_per_call,
                tokens: tokens
            } ORDER BY cost DESC NULLS LAST, platform, model) AS rows
        FROM shared
        WHERE is_by_model
    ),

    by_label AS (
        SELECT
            list({
                label: if($by = 'task', trace_id, label),
                started: strftime(started, '%Y-%m-%dT%H:%M:%S.%fZ'),
                successful: is_successful,
                records: records,
                cost: cost,
                currency: currency,
                share: share,
                unpriced: unpriced,
                average_per_call: average_per_call,
                tokens: tokens
            } ORDER BY if($by = 'day', label, NULL), cost DESC NULLS LAST, started, label) AS rows
        FROM shared
        LEFT JOIN tasks ON $by = 'task' AND tasks.task = shared.label
        WHERE NOT is_by_model AND $by <> 'model'
    ),

    errors AS (
        SELECT error_type, count(*) AS records
        FROM calls
        WHERE status = 'error'
        GROUP BY error_type
    ),

    embeddings AS (
        SELECT
            count(*) AS records,
            count(*) - count(cost) AS unpriced,
            count(DISTINCT coalesce(currency, '')) FILTER (cost IS NOT NULL) AS currencies,
            if(currencies = 1, any_value(currency) FILTER (cost IS NOT NULL), NULL) AS currency,
            if(currencies = 1, sum(cost), NULL) AS total
        FROM period
        WHERE kind = 'embedding' AND NOT folded
    ),

    counted AS (
        SELECT
            count(*) AS records,
            count(cost) AS priced,
            {
                prompt: sum(tokens.prompt),
                completion: sum(tokens.completion),
                cache_read: sum(tokens.cache_read),
                cache_write: sum(tokens.cache_write),
                reasoning: sum(tokens.reasoning)
            } AS tokens
        FROM calls
    )

-- As JSON: Python reads a long list of structs ten times faster from it.
SELECT to_json({
    total: whole.total,
    currency: whole.currency,
    totals: coalesce((
        SELECT list({currency: currency, total: total, records: records}
            ORDER BY currency)
        FROM totals
    ), []),
    records: counted.records,
    unpriced: counted.records - counted.priced,
    folded: (SELECT count(*) FROM period WHERE folded),
    tokens: counted.tokens,
    average_per_call: whole.total / nullif(counted.priced, 0),
    per_successful_task: whole.total / nullif(outcomes.successful_tasks, 0),
    successful_tasks: outcomes.successful_tasks,
    tasks: outcomes.tasks,
    top_model: if(whole.currencies = 1, {
        model: by_model.rows[1].model,
        platform: by_model.rows[1].platform,
        cost: by_model.rows[1].cost,
        share: by_model.rows[1].share
    }, NULL),
    by_model: coalesce(by_model.rows, []),
    by_label: coalesce(by_label.rows, []),
    errors: {
        records: (SELECT count(*) FROM calls WHERE status = 'error'),
        by_type: coalesce((
            SELECT list({error_type: error_type, records: records}
                ORDER BY records DESC, error_type)
            FROM errors
        ), [])
    },
    embeddings: {
        records: embeddings.records,
        total: embeddings.total,
        currency: embeddings.currency,
        unpriced: embeddings.unpriced
    }
})
FROM whole, counted, outcomes, by_model, by_label, embeddings
