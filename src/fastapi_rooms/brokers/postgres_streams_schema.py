"""The tables and functions that keep streams in PostgreSQL, in SQL. Braces stand for names.

Locks: an append locks the rows of its streams in the order of their channels, and then touches what belongs to
these; a look at a stream locks one; a sweep waits for nobody. So nobody waits in a circle.

The functions that are called from outside do without sequential scans: these tables change faster than what the
planner knows of them.
"""

from typing import Final

TABLES: Final = """
CREATE UNLOGGED TABLE IF NOT EXISTS {streams} (
    channel text COLLATE "C" PRIMARY KEY,
    epoch text NOT NULL,
    run timestamptz NOT NULL,
    written xid NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    version numeric,
    used timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS {streams_index} ON {streams} (used);
CREATE UNLOGGED TABLE IF NOT EXISTS {history} (
    channel text COLLATE "C" NOT NULL,
    "offset" bigint NOT NULL,
    data bytea NOT NULL,
    until timestamptz NOT NULL,
    held timestamptz NOT NULL,
    PRIMARY KEY (channel, "offset")
);
CREATE INDEX IF NOT EXISTS {history_index} ON {history} (until);
CREATE UNLOGGED TABLE IF NOT EXISTS {keys} (
    channel text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    epoch text NOT NULL,
    "offset" bigint NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (channel, key)
);
CREATE INDEX IF NOT EXISTS {keys_index} ON {keys} (until);
"""
"""Of a stream: `run` is when the server started, and `written` the transaction that wrote the row: a row for which
either is not so comes from a copy, and may be old. `first` is the oldest message that is kept. `used` is up to
an hour late, so that most updates touch no index. Of a message: `until` when it may be read, `held` until when
those who were told of it may fetch it."""

STREAM: Final = """
CREATE OR REPLACE FUNCTION {stream}(wanted text) RETURNS {streams} LANGUAGE plpgsql AS $body$
DECLARE
    run_began CONSTANT timestamptz := pg_catalog.pg_postmaster_start_time();
    writer CONSTANT xid := pg_catalog.pg_current_xact_id()::xid;
    digits CONSTANT text := pg_catalog.gen_random_uuid()::text;
    fresh CONSTANT text := pg_catalog.left(digits, 8) || pg_catalog.right(digits, 8);
    moment CONSTANT timestamptz := pg_catalog.clock_timestamp();
    s record;
BEGIN
    LOOP
        SELECT t.*, t.xmin = t.written AND t.run = run_began AS ours INTO s
            FROM {streams} t WHERE t.channel = wanted FOR UPDATE;
        IF s.ours THEN
            IF s.used < moment - pg_catalog.make_interval(mins => 30) THEN
                UPDATE {streams} SET used = moment, written = writer WHERE channel = wanted;
            END IF;
            RETURN (s.channel, s.epoch, s.run, s.written, s.first, s.last, s.version, s.used)::{streams};
        ELSIF FOUND THEN
            DELETE FROM {history} WHERE channel = wanted;
            DELETE FROM {keys} WHERE channel = wanted;
            DELETE FROM {streams} WHERE channel = wanted;
        END IF;
        INSERT INTO {streams} (channel, epoch, run, written, first, last, version, used)
            VALUES (wanted, fresh, run_began, writer, 1, 0, NULL, moment) ON CONFLICT DO NOTHING;
    END LOOP;
END $body$;
"""
"""The stream of a channel, locked; begun where there is none of this server's run."""

APPEND: Final = """
CREATE OR REPLACE FUNCTION {append}(
    channels text[], names text[], numbers integer[], messages bytea[], kinds text[], counts bigint[],
    ages double precision[], hashes bytea[], versions numeric[],
    remembered double precision, fetchable double precision,
    OUT epochs text[], OUT offsets bigint[], OUT repeated boolean[], OUT stale boolean[]
) LANGUAGE plpgsql SET enable_seqscan = off AS $body$
DECLARE
    told text[] := pg_catalog.array_fill(NULL::text, ARRAY[pg_catalog.cardinality(numbers)]);
    called text[] := told;
    s {streams};
    m record;
    moment timestamptz;
    lowest bigint;
    before bigint;
BEGIN
    epochs := told;
    offsets := pg_catalog.array_fill(NULL::bigint, ARRAY[pg_catalog.cardinality(numbers)]);
    repeated := pg_catalog.array_fill(false, ARRAY[pg_catalog.cardinality(numbers)]);
    stale := repeated;
    FOR m IN
        SELECT u.* FROM unnest(channels, names, numbers, messages, kinds, counts, ages, hashes, versions)
            AS u(channel, name, number, data, kind, count, age, hash, version)
    LOOP
        IF s.channel IS DISTINCT FROM m.channel THEN
            PERFORM {trim}(s, lowest);
            s := {stream}(m.channel);
            lowest := s.first;
            moment := pg_catalog.clock_timestamp();
        END IF;
        epochs[m.number] := s.epoch;
        IF m.hash IS NOT NULL THEN
            SELECT k."offset" INTO before FROM {keys} k
                WHERE k.channel = m.channel AND k.key = m.hash AND k.epoch = s.epoch AND k.until > moment;
            IF FOUND THEN
                offsets[m.number] := before;
                repeated[m.number] := true;
                CONTINUE;
            END IF;
        END IF;
        IF m.version <= s.version THEN
            offsets[m.number] := s.last;
            stale[m.number] := true;
            CONTINUE;
        END IF;
        s.version := coalesce(m.version, s.version);
        s.last := s.last + 1;
        lowest := greatest(lowest, s.last - m.count + 1);
        offsets[m.number] := s.last;
        INSERT INTO {history} (channel, "offset", data, until, held) VALUES (
            m.channel, s.last, m.data, moment + pg_catalog.make_interval(secs => m.age),
            CASE m.kind WHEN 'r' THEN moment + pg_catalog.make_interval(secs => fetchable) ELSE moment END
        );
        IF m.hash IS NOT NULL THEN
            INSERT INTO {keys} AS k (channel, key, epoch, "offset", until)
                VALUES (m.channel, m.hash, s.epoch, s.last, moment + pg_catalog.make_interval(secs => remembered))
                ON CONFLICT (channel, key) DO UPDATE
                SET epoch = excluded.epoch, "offset" = excluded."offset", until = excluded.until;
        END IF;
        called[m.number] := m.name;
        told[m.number] := 's' || m.kind || s.epoch || ':' || s.last || ':' || CASE m.kind
            WHEN 't' THEN pg_catalog.convert_from(m.data, 'UTF8')
            WHEN 'b' THEN pg_catalog.translate(pg_catalog.encode(m.data, 'base64'), E'\\n', '')
            ELSE '' END;
    END LOOP;
    PERFORM {trim}(s, lowest);
    PERFORM pg_catalog.pg_notify(n.name, n.payload)
        FROM unnest(called, told) WITH ORDINALITY AS n(name, payload, number)
        WHERE n.payload IS NOT NULL ORDER BY n.number;
END $body$;
"""
"""Appends messages that come sorted by channel; `numbers` is where each stood before, and its answer will."""

TRIM: Final = """
CREATE OR REPLACE FUNCTION {trim}(s {streams}, lowest bigint) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    moment CONSTANT timestamptz := pg_catalog.clock_timestamp();
    oldest bigint;
    deleted bigint;
BEGIN
    IF s.channel IS NULL THEN
        RETURN;
    END IF;
    SELECT h."offset" INTO oldest FROM {history} h
        WHERE h.channel = s.channel AND h."offset" >= lowest AND h.until > moment ORDER BY h."offset" LIMIT 1;
    oldest := coalesce(oldest, s.last + 1);
    IF oldest > s.first THEN
        DELETE FROM {history} h
            WHERE h.channel = s.channel AND h."offset" >= s.first AND h."offset" < oldest AND h.held <= moment;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        IF deleted < oldest - s.first THEN
            UPDATE {history} h SET until = least(h.until, h.held)
                WHERE h.channel = s.channel AND h."offset" >= s.first AND h."offset" < oldest;
        END IF;
    END IF;
    UPDATE {streams} SET first = oldest, last = s.last, version = s.version,
        written = pg_catalog.pg_current_xact_id()::xid WHERE channel = s.channel;
END $body$;
"""
"""Writes down how far a stream has come, and deletes what is below its lowest offset, or too old. What somebody
may be about to fetch is only hidden: a sweep deletes it."""

READ: Final = """
CREATE OR REPLACE FUNCTION {read}(wanted text, beyond bigint, most bigint)
RETURNS TABLE (epoch text, last bigint, place bigint, message bytea) LANGUAGE plpgsql
SET enable_seqscan = off AS $body$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := pg_catalog.clock_timestamp();
BEGIN
    LOOP
        RETURN QUERY SELECT s.epoch, s.last, newest."offset", newest.data
            FROM {streams} s LEFT JOIN LATERAL (
                SELECT h."offset", h.data FROM {history} h
                WHERE h.channel = s.channel AND h."offset" >= s.first AND h."offset" > beyond AND h.until > moment
                ORDER BY h."offset" DESC LIMIT most
            ) AS newest ON true
            WHERE s.channel = wanted AND s.xmin = s.written AND s.run = pg_catalog.pg_postmaster_start_time()
                AND s.used > moment - pg_catalog.make_interval(hours => 1)
            ORDER BY newest."offset";
        EXIT WHEN FOUND;
        PERFORM {stream}(wanted);
    END LOOP;
END $body$;
"""
"""One statement sees it all, without a lock; unless the stream has to begin, or nobody has used it for an hour."""

SWEEP: Final = """
CREATE OR REPLACE FUNCTION {sweep}(turn bigint, most integer, remembered double precision) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $body$
DECLARE
    moment CONSTANT timestamptz := pg_catalog.clock_timestamp();
    swept bigint;
    more boolean;
BEGIN
    IF NOT pg_catalog.pg_try_advisory_xact_lock(turn) THEN
        RETURN false;
    END IF;
    WITH old AS MATERIALIZED (
        SELECT h.channel, h."offset" FROM {history} h WHERE h.until <= moment AND h.held <= moment
        ORDER BY h.until LIMIT most FOR UPDATE SKIP LOCKED
    ) DELETE FROM {history} h USING old WHERE h.channel = old.channel AND h."offset" = old."offset";
    GET DIAGNOSTICS swept = ROW_COUNT;
    more := swept = most;
    WITH old AS MATERIALIZED (
        SELECT k.channel, k.key FROM {keys} k WHERE k.until <= moment
        ORDER BY k.until LIMIT most FOR UPDATE SKIP LOCKED
    ) DELETE FROM {keys} k USING old WHERE k.channel = old.channel AND k.key = old.key;
    GET DIAGNOSTICS swept = ROW_COUNT;
    more := more OR swept = most;
    WITH old AS MATERIALIZED (
        SELECT s.channel FROM {streams} s WHERE s.used <= moment - pg_catalog.make_interval(secs => remembered)
            AND NOT EXISTS (SELECT FROM {history} h WHERE h.channel = s.channel)
        ORDER BY s.used LIMIT most FOR UPDATE SKIP LOCKED
    ) DELETE FROM {streams} s USING old WHERE s.channel = old.channel;
    GET DIAGNOSTICS swept = ROW_COUNT;
    RETURN more OR swept = most;
END $body$;
"""
"""Deletes some of what is too old, unless somebody else is at it; whether there may be more."""
