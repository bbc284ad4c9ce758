//! What the frames say: a request from the caller, errors and messages from the worker.

use super::codec::{ABSENT, Decoder, Malformed, Unread, put, put_bytes, reserve};
pub use crate::host::Ending;
use crate::host::{Arg, ArgForm, Bounds, Column, Identity, Mode, Output};
use crate::memory::{self, Grows, NoMemory};
use crate::report::{FIELDS, Report, Severity};

const COLUMNS: &str = "the columns of a result";

/// One command to run, as it crosses.
#[derive(Debug, Default)]
pub struct Request<'a> {
    pub identity: Identity,
    pub mode: Mode,
    /// The command, or each batch of events, may take this long; 0 is no limit.
    pub timeout_ms: u32,
    pub bounds: Bounds,
    pub depth: u32,
    pub output: Output,
    /// Names the settings that the command must see.
    pub settings_hash: [u64; 2],
    /// Hash of those settings that change how a command is parsed.
    pub parse_hash: u64,
    /// The settings themselves, where the worker may not have them.
    pub settings: Option<&'a [u8]>,
    /// Names what the worker is to know of its caller; 0: nothing.
    pub origin_version: u64,
    /// That itself, as the shims of both sides know it, where the worker may not have it.
    pub origin: Option<&'a [u8]>,
    /// The caller's transaction; 0: it has no identifier.
    pub caller_xid: u64,
    /// Where in the caller's code the call was made, if it says so.
    pub stack: Option<&'a [u8]>,
    /// At which the command reads, and writes nothing, as the shims of both sides know it; None: it has its own.
    pub snapshot: Option<&'a [u8]>,
    pub command: &'a [u8],
    /// A routine to run instead, as the shims of both sides know it; the command only names it.
    pub routine: Option<&'a [u8]>,
    pub args: Vec<Arg<'a>>,
    pub columns: Vec<Column<'a>>,
}

impl<'a> Request<'a> {
    /// Are all its statements told of, each when it is through, and not the last one only?
    pub fn tells_statements_apart(&self) -> bool {
        self.output == Output::Described || self.output == Output::Text && self.mode == Mode::Session
    }

    /// Is the tag of its last statement asked for?
    pub fn wants_tag(&self) -> bool {
        self.output == Output::Text || self.mode == Mode::Command
    }

    pub fn encode(&self, buffer: &mut Vec<u64>) -> Result<(), NoMemory> {
        buffer.clear();
        let args = self.args.iter().map(|arg| arg.data.len() + 8);
        let columns = self.columns.iter().map(|column| column.name.len() + 16);
        let optional = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let optionals = [self.settings, self.origin, self.stack, self.snapshot, self.routine].map(optional);
        let fixed = [96, self.command.len()].into_iter().chain(optionals);
        reserve(buffer, fixed.chain(args).chain(columns), "a command and its arguments")?;
        let who = &self.identity;
        put(buffer, u64::from(who.session_user) | u64::from(who.role) << 32);
        put(buffer, u64::from(who.current_user) | u64::from(who.security_context) << 32);
        let output = match self.output {
            Output::None => 0u64,
            Output::Rows => 1,
            Output::Json => 2,
            Output::Described => 3,
            Output::Text => 4,
        };
        put(buffer, u64::from(self.depth) | output << 32 | (self.mode as u64) << 40);
        put(buffer, u64::from(who.database) | u64::from(self.timeout_ms) << 32);
        put(buffer, u64::from(self.bounds.row_bytes) | u64::from(self.bounds.message_bytes) << 32);
        put(buffer, self.settings_hash[0]);
        put(buffer, self.settings_hash[1]);
        put(buffer, self.parse_hash);
        put(buffer, self.origin_version);
        put(buffer, self.caller_xid);
        put_bytes(buffer, self.settings);
        put_bytes(buffer, self.origin);
        put_bytes(buffer, self.stack);
        put_bytes(buffer, self.snapshot);
        put_bytes(buffer, Some(self.command));
        put_bytes(buffer, self.routine);
        put(buffer, self.args.len() as u64);
        for arg in &self.args {
            put(buffer, u64::from(arg.type_oid) | u64::from(arg.form as u32) << 32);
            put_bytes(buffer, Some(arg.data));
        }
        put_columns(buffer, &self.columns);
        Ok(())
    }

    pub fn decode(words: &'a [u64]) -> Result<Self, Unread> {
        let mut d = Decoder::new(words);
        let (a, b, c, e, bounds) = (d.get()?, d.get()?, d.get()?, d.get()?, d.get()?);
        let mut request = Request {
            identity: Identity {
                session_user: a as u32,
                role: (a >> 32) as u32,
                current_user: b as u32,
                security_context: (b >> 32) as u32,
                database: e as u32,
            },
            timeout_ms: (e >> 32) as u32,
            bounds: Bounds { row_bytes: bounds as u32, message_bytes: (bounds >> 32) as u32 },
            depth: c as u32,
            output: match c >> 32 & 0xff {
                0 => Output::None,
                1 => Output::Rows,
                2 => Output::Json,
                3 => Output::Described,
                4 => Output::Text,
                _ => return Err(Malformed.into()),
            },
            mode: match c >> 40 {
                0 => Mode::OneShot,
                1 => Mode::Open,
                2 => Mode::Session,
                3 => Mode::Notifications,
                4 => Mode::Close,
                5 => Mode::Events,
                6 => Mode::Command,
                7 => Mode::Chunk,
                _ => return Err(Malformed.into()),
            },
            settings_hash: [d.get()?, d.get()?],
            parse_hash: d.get()?,
            origin_version: d.get()?,
            caller_xid: d.get()?,
            settings: d.get_bytes()?,
            origin: d.get_bytes()?,
            stack: d.get_bytes()?,
            snapshot: d.get_bytes()?,
            command: d.get_bytes()?.ok_or(Malformed)?,
            routine: d.get_bytes()?,
            ..Request::default()
        };
        let count = d.get_count()?;
        request.args.room(count, "the arguments of a command")?;
        for _ in 0..count {
            let word = d.get()?;
            let form = match word >> 32 {
                0 => ArgForm::Null,
                1 => ArgForm::ByValue,
                2 => ArgForm::ByReference,
                3 => ArgForm::Text,
                _ => return Err(Malformed.into()),
            };
            let data = d.get_bytes()?.ok_or(Malformed)?;
            memory::push(&mut request.args, Arg { type_oid: word as u32, form, data }, "the arguments of a command")?;
        }
        request.columns = get_columns(&mut d)?;
        Ok(request)
    }
}

fn put_columns(buffer: &mut Vec<u64>, columns: &[Column]) {
    put(buffer, columns.len() as u64);
    for column in columns {
        put(buffer, u64::from(column.type_oid) | u64::from(column.typmod as u32) << 32);
        put(buffer, u64::from(column.by_text));
        put_bytes(buffer, Some(column.name));
    }
}

fn get_columns<'a>(d: &mut Decoder<'a>) -> Result<Vec<Column<'a>>, Unread> {
    let count = d.get_count()?;
    let mut columns = Vec::new();
    columns.room(count, COLUMNS)?;
    for _ in 0..count {
        let (word, by_text) = (d.get()?, d.get()? as u32);
        let name = d.get_bytes()?.ok_or(Malformed)?;
        memory::push(&mut columns, Column { type_oid: word as u32, typmod: (word >> 32) as i32, by_text, name }, COLUMNS)?;
    }
    Ok(columns)
}

/// The columns of the rows that follow.
pub fn encode_columns(columns: &[Column], buffer: &mut Vec<u64>) -> Result<(), NoMemory> {
    buffer.clear();
    reserve(buffer, columns.iter().map(|column| column.name.len() + 16).chain([8]), COLUMNS)?;
    put_columns(buffer, columns);
    Ok(())
}

/// As they were encoded.
pub fn decode_columns(words: &[u64]) -> Result<Vec<Column<'_>>, Unread> {
    get_columns(&mut Decoder::new(words))
}

impl Ending {
    pub fn encode(&self) -> Vec<u64> {
        let mut words = Vec::new();
        put(&mut words, self.processed);
        if let Some(tag) = &self.tag {
            put(&mut words, u64::from(self.last));
            put_bytes(&mut words, Some(tag));
        }
        words
    }

    pub fn decode(words: &[u64]) -> Result<Self, Malformed> {
        let mut d = Decoder::new(words);
        let processed = d.get()?;
        if words.len() == 1 {
            return Ok(Self { processed, last: true, tag: None });
        }
        let last = d.get()? != 0;
        Ok(Self { processed, last, tag: d.get_bytes()?.and_then(|tag| memory::copy(tag, "a tag").ok()) })
    }
}

/// Who runs a command, and what time it is: said when it begins, and before it is said how it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub pid: u32,
    /// As [`crate::host::World::timestamp`].
    pub at: i64,
    /// It was cancelled because its time had passed.
    pub timed_out: bool,
    /// Messages that were not sent, for there was no room left for them.
    pub dropped: u32,
}

impl Stamp {
    pub fn encode(&self) -> [u64; 3] {
        [u64::from(self.pid) | u64::from(self.timed_out) << 32, self.at.cast_unsigned(), u64::from(self.dropped)]
    }

    pub fn decode(words: &[u64]) -> Result<Self, Malformed> {
        let mut d = Decoder::new(words);
        let (who, at, dropped) = (d.get()?, d.get()?, d.get()?);
        Ok(Self { pid: who as u32, at: at.cast_signed(), timed_out: who >> 32 != 0, dropped: dropped as u32 })
    }
}

/// Append a report.
pub fn encode_report(report: &Report, buffer: &mut Vec<u64>) -> Result<(), NoMemory> {
    buffer.clear();
    reserve(buffer, report.text.iter().map(|text| text.as_ref().map_or(0, Vec::len)).chain([24]), "a message")?;
    put(buffer, u64::from(report.severity as u32) | u64::from(report.sqlstate) << 32);
    put(buffer, u64::from(report.position as u32) | u64::from(report.internal_position as u32) << 32);
    put(buffer, u64::from(report.line as u32));
    for text in &report.text {
        put_bytes(buffer, text.as_deref());
    }
    Ok(())
}

/// An error of which there is no memory to say more.
pub fn short_error(sqlstate: u32) -> [u64; 3 + FIELDS + 2] {
    let mut words = [ABSENT; 3 + FIELDS + 2];
    let (first, second) = (u64::from_ne_bytes(*b"out of m"), u64::from_ne_bytes(*b"emory\0\0\0"));
    words[..6].copy_from_slice(&[u64::from(Severity::Error as u32) | u64::from(sqlstate) << 32, 0, 0, 13, first, second]);
    words
}

/// Read a report; a text for which there is no memory is left out.
pub fn decode_report(words: &[u64]) -> Result<Report, Malformed> {
    let mut d = Decoder::new(words);
    let (a, b, c) = (d.get()?, d.get()?, d.get()?);
    let mut report = Report {
        severity: Severity::from_number(a as u32),
        sqlstate: (a >> 32) as u32,
        position: b as i32,
        internal_position: (b >> 32) as i32,
        line: c as i32,
        ..Report::default()
    };
    for i in 0..FIELDS {
        report.text[i] = d.get_bytes()?.and_then(|text| memory::copy(text, "a message").ok());
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Field;

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let seven = 7u64.to_ne_bytes();
        let request = Request {
            identity: Identity { session_user: 10, role: 0, current_user: 16384, security_context: 1, database: 5 },
            mode: Mode::Notifications,
            timeout_ms: 9,
            bounds: Bounds { row_bytes: 8, message_bytes: u32::MAX },
            depth: 3,
            output: Output::Rows,
            settings_hash: [1, u64::MAX],
            parse_hash: 9,
            settings: Some(b"a\0b\0"),
            origin_version: 11,
            origin: Some(b"origin"),
            caller_xid: 12,
            stack: None,
            snapshot: Some(b"snapshot"),
            command: b"SELECT $1",
            routine: Some(b"routine"),
            args: vec![
                Arg { type_oid: 23, form: ArgForm::ByValue, data: &seven },
                Arg { type_oid: 0, form: ArgForm::Text, data: b"x" },
                Arg { type_oid: 25, form: ArgForm::Null, data: b"" },
            ],
            columns: vec![Column { type_oid: 25, typmod: -1, by_text: 7, name: "имя".as_bytes() }],
        };
        let mut buffer = vec![99];
        request.encode(&mut buffer).unwrap();
        let got = Request::decode(&buffer).unwrap();
        assert_eq!(format!("{got:?}"), format!("{request:?}"));
    }

    #[test]
    fn a_stamp_arrives_as_it_was_sent() {
        for timed_out in [false, true] {
            let stamp = Stamp { pid: u32::MAX, at: -5, timed_out, dropped: 7 };
            assert_eq!(Stamp::decode(&stamp.encode()), Ok(stamp));
        }
    }

    #[test]
    fn a_report_keeps_every_field() {
        let mut report = Report::error(crate::report::INTERNAL_ERROR, "m");
        report.severity = Severity::Fatal;
        report.position = 7;
        report.internal_position = -1;
        report.line = 12;
        for (i, text) in report.text.iter_mut().enumerate() {
            if i != Field::Hint as usize {
                *text = Some(vec![b'a' + i as u8; i]);
            }
        }
        let mut buffer = Vec::new();
        encode_report(&report, &mut buffer).unwrap();
        assert_eq!(decode_report(&buffer), Ok(report));
    }

    #[test]
    fn an_error_needs_no_memory() {
        let report = decode_report(&short_error(7)).unwrap();
        assert_eq!((report.sqlstate, report.get(Field::Message)), (7, Some(&b"out of memory"[..])));
    }

    #[test]
    fn a_truncated_request_is_malformed_not_a_panic() {
        let request = Request { command: b"SELECT 1", args: vec![Arg::default(); 3], ..Request::default() };
        let mut buffer = Vec::new();
        request.encode(&mut buffer).unwrap();
        for cut in 0..buffer.len() {
            assert!(Request::decode(&buffer[..cut]).is_err(), "cut at {cut}");
        }
    }
}
