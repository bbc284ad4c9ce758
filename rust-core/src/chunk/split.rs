//! How a table is cut into chunks: the SQL of each step, by the kind of the split.
//!
//! A step runs as a command of whoever owns the work, in a worker: index expressions, operators and policies are users' code.
//! It reads so many keys by the index, never the whole table. Texts of keys are written and read back under fixed styles.
//!
//! A chunk's bounds are keys that were there when it was cut. What lies between two chunks had no row then.

use super::cut::{Cut, Split};
use crate::memory::{self, NoMemory};

const STEP: &str = "the cutting of a table into chunks";

/// How something is cut, as `aside.parallel_target()` has written it.
#[derive(Clone, Copy, Debug)]
pub enum Splitter<'a> {
    Key(Key<'a>),
    /// A query of two columns; all of its rows are chunks of the first step.
    Query(&'a [u8]),
    /// The leaf partitions of a table, which is an expression of type regclass.
    Partitions(&'a [u8]),
    /// Ranges of blocks of such a table, below one.
    Blocks(&'a [u8], &'a [u8]),
}

/// A column that has an index in the order of its own operators. But for the last three, all is SQL.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    table: &'a [u8],
    column: &'a [u8],
    type_name: &'a [u8],
    less: &'a [u8],
    at_most: &'a [u8],
    at_least: &'a [u8],
    greater: &'a [u8],
    /// There may be rows without a key.
    nullable: bool,
    /// So has the index.
    nulls_first: bool,
    until: Until<'a>,
}

/// Up to where.
#[derive(Clone, Copy, Debug)]
enum Until<'a> {
    Everything,
    /// There was no key.
    Nothing,
    Last(&'a [u8]),
}

/// Styles in which a key is the same text for every reader; and an index is the way, whatever the planner's guess.
const SETTINGS: &str = "SET LOCAL DateStyle TO ISO; SET LOCAL IntervalStyle TO postgres; SET LOCAL extra_float_digits TO 1; \
SET LOCAL enable_seqscan TO off; SET LOCAL enable_bitmapscan TO off; SET LOCAL enable_sort TO off; SET LOCAL jit TO off; \
SET LOCAL max_parallel_workers_per_gather TO 0;\n";

/// The rows without a key are the first chunk.
const NULLS: &str =
    "SELECT 0, NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text, 'n'::pg_catalog.text WHERE EXISTS (SELECT FROM {t} t WHERE t.{c} IS NOT DISTINCT FROM NULL)
    UNION ALL ";

/// Each cut begins with the smallest key above the one before, and ends with the key of its so-manieth row: rows of that
/// key are all in it.
const CUTS: &str = "WITH RECURSIVE cut (nth, low, high, rows) AS (
    SELECT 1, l.k, h.k, h.n
    FROM (SELECT t.{c} AS k FROM {t} t WHERE t.{c} IS DISTINCT FROM NULL{after}{until} ORDER BY t.{c}{asc} LIMIT 1) l, LATERAL {end} h
    UNION ALL
    SELECT cut.nth OPERATOR(pg_catalog.+) 1, l.k, h.k, h.n
    FROM cut, LATERAL (SELECT t.{c} AS k FROM {t} t WHERE t.{c} {>} cut.high{until} ORDER BY t.{c}{asc} LIMIT 1) l, LATERAL {end} h
    WHERE cut.nth OPERATOR(pg_catalog.<) {cuts})
SELECT low, high, rows, frontier
FROM ({nulls}SELECT nth, low::pg_catalog.text, high::pg_catalog.text, rows::pg_catalog.text, pg_catalog.concat('k', high::pg_catalog.text) FROM cut) all_cuts (nth, low, high, rows, frontier)
ORDER BY nth LIMIT {cuts}";

/// The end of the cut that begins with `l.k`; where there are fewer rows, the last key.
const END: &str = "(SELECT coalesce(f.k, (SELECT t.{c} FROM {t} t WHERE t.{c} {>=} l.k{until} ORDER BY t.{c} DESC{desc} LIMIT 1)) AS k,
        coalesce(f.n, (SELECT pg_catalog.count(*) FROM {t} t WHERE t.{c} {>=} l.k{until})) AS n
    FROM (SELECT) one LEFT JOIN
        (SELECT t.{c} AS k, {rows}::pg_catalog.int8 AS n FROM {t} t WHERE t.{c} {>=} l.k{until} ORDER BY t.{c}{asc} OFFSET {skip} LIMIT 1) f ON true)";

/// The lower half ends with the last key below the first key of the upper half, so that equal keys stay together.
const HALVES: &str = "WITH one AS MATERIALIZED (SELECT pg_catalog.count(*) AS n FROM {t} t WHERE {within}),
middle AS MATERIALIZED (SELECT t.{c} AS k FROM {t} t WHERE {within} ORDER BY t.{c}{asc} OFFSET (SELECT (n OPERATOR(pg_catalog.-) 1) OPERATOR(pg_catalog./) 2 FROM one) LIMIT 1),
upper AS MATERIALIZED (SELECT coalesce((SELECT t.{c} FROM {t} t WHERE {within} AND t.{c} {>} m.k ORDER BY t.{c}{asc} LIMIT 1), m.k) AS k FROM middle m),
cut (nth, low, high) AS MATERIALIZED (
    SELECT 1, (SELECT t.{c} FROM {t} t WHERE {within} ORDER BY t.{c}{asc} LIMIT 1),
        (SELECT t.{c} FROM {t} t WHERE {within} AND t.{c} {<} u.k ORDER BY t.{c} DESC{desc} LIMIT 1) FROM upper u
    UNION ALL
    SELECT 2, u.k, (SELECT t.{c} FROM {t} t WHERE {within} ORDER BY t.{c} DESC{desc} LIMIT 1) FROM upper u)
SELECT low::pg_catalog.text, high::pg_catalog.text,
    (SELECT pg_catalog.count(*) FROM {t} t WHERE t.{c} {>=} cut.low AND t.{c} {<=} cut.high)::pg_catalog.text
FROM cut WHERE high IS DISTINCT FROM NULL ORDER BY nth";

const WITHIN: &str = "t.{c} {>=} {low} AND t.{c} {<=} {high}";

const QUERY: &str = "SELECT q.low::pg_catalog.text, q.high::pg_catalog.text, NULL::pg_catalog.text, 'q'::pg_catalog.text FROM (\n{query}\n) AS q (low, high)";

const PARTITIONS: &str = "SET LOCAL search_path TO pg_catalog, pg_temp;
SELECT p.name, p.name, p.rows::text, 'p' FROM (
    SELECT format('%I.%I', n.nspname, c.relname) AS name, nullif(greatest(c.reltuples, 0), 0)::int8 AS rows
    FROM pg_catalog.pg_partition_tree({table}) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE t.isleaf) p ORDER BY p.name";

/// A table and what inherits from it: how many blocks the longest has, and how many rows a block number stands for.
const SIZE: &str = "WITH RECURSIVE tree (oid) AS (
    SELECT {table}::pg_catalog.oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid),
size AS (SELECT max(pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8) AS blocks,
        greatest(sum(greatest(c.reltuples, 0)) / greatest(max(c.relpages), 1), 1) AS density
    FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid)
";

const BLOCKS: &str = "SET LOCAL search_path TO pg_catalog, pg_temp;
{size}SELECT format('(%s,0)', b), format('(%s,65535)', least(b + width, blocks) - 1),
    (density * (least(b + width, blocks) - b))::int8::text, least(b + width, blocks)::text
FROM (SELECT least(blocks, {until}) AS blocks, density, greatest({rows} / density, 1)::int8 AS width FROM size) s,
    LATERAL generate_series({from}, s.blocks - 1, s.width) b
ORDER BY b LIMIT {cuts}";

/// Behind what was answered whole.
const NO_MORE: &str = "SELECT NULL::text, NULL::text, NULL::text, NULL::text WHERE false";

impl<'a> Splitter<'a> {
    /// None: nothing that `aside.parallel_target()` writes.
    pub fn of(parts: &[&'a [u8]]) -> Option<Self> {
        match *parts {
            [b"key", table, column, type_name, less, at_most, at_least, greater, nullable, nulls_first, until] => {
                let (nullable, nulls_first) = (nullable == b"true", nulls_first == b"true");
                let until = match until {
                    b"" => Until::Everything,
                    [b'k', last @ ..] => Until::Last(last),
                    _ => Until::Nothing,
                };
                Some(Self::Key(Key { table, column, type_name, less, at_most, at_least, greater, nullable, nulls_first, until }))
            }
            [b"query", query] => Some(Self::Query(query)),
            [b"partition", table] => Some(Self::Partitions(table)),
            [b"ctid", table, blocks] => Some(Self::Blocks(table, blocks)),
            _ => None,
        }
    }
}

impl Split for Splitter<'_> {
    fn step(&self, frontier: Option<&[u8]>, rows: u64, chunks: u32) -> Result<Vec<u8>, NoMemory> {
        let rows = rows.clamp(1, i64::MAX as u64);
        let (count, cuts) = (format!("{rows}"), format!("{}", chunks.max(1)));
        match self {
            Self::Key(key) => {
                let nulls = if key.nullable && frontier.is_none() { key.fill(NULLS, &[])? } else { Vec::new() };
                let after = key.condition(">", frontier.and_then(|frontier| frontier.strip_prefix(b"k")))?;
                let until = match key.until {
                    Until::Everything => Vec::new(),
                    Until::Nothing => memory::copy(b" AND false", STEP)?,
                    Until::Last(last) => key.condition("<=", Some(last))?,
                };
                let skip = format!("{}", rows - 1);
                let end = key.fill(END, &[("until", &until), ("rows", count.as_bytes()), ("skip", skip.as_bytes())])?;
                let (nulls, cuts) = (("nulls", &*nulls), ("cuts", cuts.as_bytes()));
                with_settings(&key.fill(CUTS, &[("after", &after), ("until", &until), ("end", &end), nulls, cuts])?)
            }
            Self::Query(_) | Self::Partitions(_) if frontier.is_some() => memory::copy(NO_MORE.as_bytes(), STEP),
            Self::Query(query) => with_settings(&fill(QUERY, &[("query", query)])?),
            Self::Partitions(table) => fill(PARTITIONS, &[("table", table)]),
            Self::Blocks(table, blocks) => {
                let size = fill(SIZE, &[("table", table)])?;
                let (from, rows, cuts) = (frontier.unwrap_or(b"0"), count.as_bytes(), cuts.as_bytes());
                fill(BLOCKS, &[("size", &size), ("from", from), ("until", blocks), ("rows", rows), ("cuts", cuts)])
            }
        }
    }

    fn divides(&self) -> bool {
        matches!(self, Self::Key(_))
    }

    fn halves(&self, of: &Cut) -> Result<Option<Vec<u8>>, NoMemory> {
        let (Self::Key(key), Some(low), Some(high)) = (self, &of.low, &of.high) else { return Ok(None) };
        let (low, high) = (key.literal(low)?, key.literal(high)?);
        let within = key.fill(WITHIN, &[("low", &low), ("high", &high)])?;
        Ok(Some(with_settings(&key.fill(HALVES, &[("within", &within)])?)?))
    }
}

impl Key<'_> {
    fn fill(&self, template: &str, values: &[(&str, &[u8])]) -> Result<Vec<u8>, NoMemory> {
        let (asc, desc): (&[u8], &[u8]) =
            if self.nulls_first { (b" NULLS FIRST", b" NULLS LAST") } else { (b" NULLS LAST", b" NULLS FIRST") };
        let own = [
            ("t", self.table),
            ("c", self.column),
            ("asc", asc),
            ("desc", desc),
            ("<", self.less),
            ("<=", self.at_most),
            (">=", self.at_least),
            (">", self.greater),
        ];
        fill_from(template, |name| find(&own, name).or_else(|| find(values, name)))
    }

    /// That the key is so to a bound, if there is one.
    fn condition(&self, operator: &str, bound: Option<&[u8]>) -> Result<Vec<u8>, NoMemory> {
        let Some(bound) = bound else { return Ok(Vec::new()) };
        let literal = self.literal(bound)?;
        let template = format!(" AND t.{{c}} {{{operator}}} {{bound}}");
        self.fill(&template, &[("bound", &literal)])
    }

    fn literal(&self, text: &[u8]) -> Result<Vec<u8>, NoMemory> {
        let mut literal = memory::copy(b"E'", STEP)?;
        for piece in text.split_inclusive(|byte| matches!(byte, b'\'' | b'\\')) {
            memory::append(&mut literal, piece, STEP)?;
            if let Some(quoted @ (b'\'' | b'\\')) = piece.last() {
                memory::append(&mut literal, &[*quoted], STEP)?;
            }
        }
        memory::append(&mut literal, b"'::", STEP)?;
        memory::append(&mut literal, self.type_name, STEP)?;
        Ok(literal)
    }
}

/// The template with its names in braces replaced.
fn fill(template: &str, values: &[(&str, &[u8])]) -> Result<Vec<u8>, NoMemory> {
    fill_from(template, |name| find(values, name))
}

fn find<'v>(values: &[(&str, &'v [u8])], name: &str) -> Option<&'v [u8]> {
    values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn fill_from<'v>(template: &str, value: impl Fn(&str) -> Option<&'v [u8]>) -> Result<Vec<u8>, NoMemory> {
    let mut sql = Vec::new();
    let mut rest = template;
    while let Some((before, (name, after))) = rest.split_once('{').and_then(|(before, inner)| Some((before, inner.split_once('}')?))) {
        memory::append(&mut sql, before.as_bytes(), STEP)?;
        memory::append(&mut sql, value(name).unwrap_or_default(), STEP)?;
        rest = after;
    }
    memory::append(&mut sql, rest.as_bytes(), STEP)?;
    Ok(sql)
}

fn with_settings(step: &[u8]) -> Result<Vec<u8>, NoMemory> {
    memory::joined(&[SETTINGS.as_bytes(), step], STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(nullable: &'a [u8], nulls_first: &'a [u8], until: &'a [u8]) -> Splitter<'a> {
        let parts = [b"key", &b"public.t"[..], b"\"K\"", b"pg_catalog.text", b"<", b"<=", b">=", b">", nullable, nulls_first, until];
        Splitter::of(&parts).unwrap()
    }

    fn text(sql: Vec<u8>) -> String {
        String::from_utf8(sql).unwrap()
    }

    #[test]
    fn a_bound_is_one_literal_whatever_is_in_it() {
        let sql = text(key(b"false", b"false", b"").step(Some(b"kit's \\ {t}; --"), 10, 1).unwrap());
        assert!(sql.contains(r#"t."K" > E'it''s \\ {t}; --'::pg_catalog.text ORDER"#), "{sql}");
    }

    #[test]
    fn no_name_of_a_template_is_left() {
        for key in [key(b"false", b"false", b""), key(b"true", b"true", b"kz"), key(b"true", b"false", b"-")] {
            let cut = Cut { low: Some(b"a".to_vec()), high: Some(b"b".to_vec()), rows: 0 };
            let made = [
                key.step(Some(b"ka"), 10, 3).unwrap(),
                key.step(None, 0, 0).unwrap(),
                key.halves(&cut).unwrap().unwrap(),
                Splitter::of(&[b"ctid", b"'s.t'::regclass", b"99"]).unwrap().step(Some(b"4"), 10, 3).unwrap(),
                Splitter::of(&[b"partition", b"'s.t'::regclass"]).unwrap().step(None, 1, 1).unwrap(),
                Splitter::of(&[b"query", b"SELECT 1, 2 --"]).unwrap().step(None, 1, 1).unwrap(),
            ];
            made.map(text).iter().for_each(|sql| assert!(!sql.contains(['{', '}']), "{sql}"));
        }
    }

    #[test]
    fn rows_without_a_key_are_looked_for_once_and_where_there_may_be_some() {
        let looks =
            |nullable: &[u8], frontier: Option<&[u8]>| text(key(nullable, b"false", b"").step(frontier, 1, 1).unwrap()).contains("EXISTS");
        assert!(looks(b"true", None));
        assert!(!looks(b"true", Some(b"n")) && !looks(b"true", Some(b"ka")) && !looks(b"false", None));
    }

    #[test]
    fn keys_behind_the_last_are_left_out() {
        assert!(text(key(b"false", b"false", b"kz").step(None, 1, 1).unwrap()).contains(r#"t."K" <= E'z'"#));
        assert!(text(key(b"false", b"false", b"-").step(None, 1, 1).unwrap()).contains("AND false"));
    }

    #[test]
    fn blocks_go_on_from_the_frontier_and_stop_at_the_end() {
        let sql = text(Splitter::of(&[b"ctid", b"'s.t'::regclass", b"99"]).unwrap().step(Some(b"42"), 10, 3).unwrap());
        assert!(sql.contains("generate_series(42, ") && sql.contains("least(blocks, 99)"), "{sql}");
    }

    #[test]
    fn what_is_answered_whole_is_answered_once() {
        for parts in [[&b"query"[..], b"SELECT 1, 2"], [b"partition", b"'s.t'::regclass"]] {
            assert_eq!(text(Splitter::of(&parts).unwrap().step(Some(b"q"), 1, 1).unwrap()), NO_MORE);
        }
    }

    #[test]
    fn what_has_no_keys_between_is_not_halved() {
        let cut = Cut { low: Some(b"a".to_vec()), high: Some(b"b".to_vec()), rows: 0 };
        assert_eq!(Splitter::of(&[b"query", b"SELECT 1, 2"]).unwrap().halves(&cut).unwrap(), None);
        assert_eq!(key(b"true", b"false", b"").halves(&Cut::default()).unwrap(), None);
    }

    #[test]
    fn what_nobody_has_written_is_not_read() {
        assert!(Splitter::of(&[]).is_none() && Splitter::of(&[b"key", b"t"]).is_none() && Splitter::of(&[b"other", b"t"]).is_none());
    }
}
