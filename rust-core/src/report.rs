//! Errors and messages, with every field that the server's own carry.
//! Built by the core for its own errors, decoded from the wire for those of a worker.

use crate::memory::{self, Grows, NoMemory};

/// Of a text of an error that is kept.
const LONGEST_TEXT: usize = 8192;

/// The message in what [`Report::texts`] made.
pub fn message_of(texts: &[u8]) -> &[u8] {
    texts.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A SQLSTATE packed as the server packs it: six bits a character, first character lowest.
pub const fn sqlstate(code: &[u8; 5]) -> u32 {
    let mut packed = 0;
    let mut i = 0;
    while i < 5 {
        packed |= ((code[i] as u32 - b'0' as u32) & 0x3f) << (6 * i);
        i += 1;
    }
    packed
}

/// The codes, and a list of them that is compared with the ABI's.
macro_rules! sqlstates {
    ($($name:ident = $code:literal;)*) => {
        $(pub const $name: u32 = sqlstate($code);)*
        /// Every SQLSTATE that the core raises.
        pub const SQLSTATES: &[u32] = &[$($name),*];
    };
}

sqlstates! {
    NULL_VALUE_NOT_ALLOWED = b"22004";
    FEATURE_NOT_SUPPORTED = b"0A000";
    CONNECTION_DOES_NOT_EXIST = b"08003";
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    DUPLICATE_OBJECT = b"42710";
    UNDEFINED_OBJECT = b"42704";
    FAILED_TRANSACTION = b"25P02";
    CONNECTION_FAILURE = b"08006";
    DEADLOCK_DETECTED = b"40P01";
    INSUFFICIENT_PRIVILEGE = b"42501";
    SYNTAX_ERROR = b"42601";
    UNDEFINED_PARAMETER = b"42P02";
    ADMIN_SHUTDOWN = b"57P01";
    CANNOT_CONNECT_NOW = b"57P03";
    OUT_OF_MEMORY = b"53200";
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    STATEMENT_TOO_COMPLEX = b"54001";
    QUERY_CANCELED = b"57014";
    PROTOCOL_VIOLATION = b"08P01";
    INTERNAL_ERROR = b"XX000";
    RAISE_EXCEPTION = b"P0001";
}

/// A handler gives up an event. The server does not know this one.
pub const EVENT_DISCARDED: u32 = sqlstate(b"PA001");

/// How grave; the order is the server's and that of `aside_severity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u32)]
pub enum Severity {
    Debug = 0,
    Log = 1,
    Info = 2,
    Notice = 3,
    Warning = 4,
    #[default]
    Error = 5,
    Fatal = 6,
}

impl Severity {
    /// From its number; what is unknown counts as an error.
    pub fn from_number(n: u32) -> Self {
        match n {
            0 => Self::Debug,
            1 => Self::Log,
            2 => Self::Info,
            3 => Self::Notice,
            4 => Self::Warning,
            6 => Self::Fatal,
            _ => Self::Error,
        }
    }
}

/// Text fields of a [`Report`], as indexes into [`Report::text`]. The order is that of `aside_report`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    Message,
    Detail,
    Hint,
    Context,
    Schema,
    Table,
    Column,
    Datatype,
    Constraint,
    InternalQuery,
    File,
    Function,
}

/// Number of text fields.
pub const FIELDS: usize = 12;

/// An error or a lesser message. Texts are bytes in the database's encoding; one for which there is no memory is left out.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub severity: Severity,
    pub sqlstate: u32,
    /// Character in the command, from 1; 0 is none.
    pub position: i32,
    pub internal_position: i32,
    pub line: i32,
    pub text: [Option<Vec<u8>>; FIELDS],
}

impl Report {
    /// An error of our own.
    pub fn error(state: u32, message: impl AsRef<[u8]>) -> Self {
        Self { sqlstate: state, ..Self::default() }.with(Field::Message, message)
    }

    /// There is no memory for what this says.
    pub fn out_of_memory(NoMemory(what): NoMemory) -> Self {
        Self::error(OUT_OF_MEMORY, "out of memory").with(Field::Detail, format!("There was no memory for {what}."))
    }

    /// Of an error in a command that no client has sent: a position in it is one in an internal query.
    pub fn within(mut self, command: &[u8]) -> Self {
        if self.position > 0 && self.get(Field::InternalQuery).is_none() {
            self.internal_position = self.position;
            self = self.with(Field::InternalQuery, command);
        }
        self.position = 0;
        self
    }

    /// What the error of somebody's work looks like to who asked for it; `deadlock`: the one that was broken by ending it.
    pub fn raised_by(mut self, work: impl AsRef<[u8]>, deadlock: Option<&[u8]>) -> Self {
        self.severity = Severity::Error;
        if let Some(detail) = deadlock.filter(|_| self.sqlstate == DEADLOCK_DETECTED) {
            self.add_line(Field::Detail, detail);
        }
        self.add_line(Field::Context, work.as_ref());
        self
    }

    /// The same with one more field.
    pub fn with(mut self, field: Field, value: impl AsRef<[u8]>) -> Self {
        self.text[field as usize] = memory::copy(value.as_ref(), "an error").ok();
        self
    }

    /// One field, if present.
    pub fn get(&self, field: Field) -> Option<&[u8]> {
        self.text[field as usize].as_deref()
    }

    /// Append to what a field ends with.
    pub fn extend(&mut self, field: Field, more: &[u8]) {
        if let Some(text) = &mut self.text[field as usize] {
            _ = memory::append(text, more, "an error");
        }
    }

    /// What it says: the message, then DETAIL, HINT and CONTEXT, each after a NUL, which no text of the server's has; of
    /// each so much at most. What there is no memory for is left out.
    pub fn texts(&self) -> Vec<u8> {
        const WHAT: &str = "an error";
        let kept = |field| self.get(field).map(|text| text.get(..LONGEST_TEXT).unwrap_or(text)).unwrap_or_default();
        let mut texts = memory::copy(kept(Field::Message), WHAT).unwrap_or_default();
        let more = [Field::Detail, Field::Hint, Field::Context].map(kept);
        let last = more.iter().rposition(|text| !text.is_empty()).map_or(0, |last| last + 1);
        for text in &more[..last] {
            if memory::append(&mut texts, b"\0", WHAT).and_then(|()| memory::append(&mut texts, text, WHAT)).is_err() {
                break;
            }
        }
        texts
    }

    /// A copy.
    pub fn copied(&self) -> Self {
        let text = |text: &Option<Vec<u8>>| text.as_ref().and_then(|text| memory::copy(text, "an error").ok());
        Self { text: self.text.each_ref().map(text), ..*self }
    }

    /// Append a line to a field.
    pub fn add_line(&mut self, field: Field, line: &[u8]) {
        match &mut self.text[field as usize] {
            Some(text) if !text.is_empty() => {
                if text.room(line.len() + 1, "an error").is_ok() {
                    _ = memory::append(text, b"\n", "an error").and_then(|()| memory::append(text, line, "an error"));
                }
            }
            empty => *empty = memory::copy(line, "an error").ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_an_error_are_told_apart() {
        let report = Report::error(INTERNAL_ERROR, "message");
        assert_eq!(report.texts(), b"message");
        assert_eq!(message_of(b"message"), b"message");
        let report = report.with(Field::Hint, "hint").with(Field::Context, vec![b'c'; LONGEST_TEXT + 1]);
        let texts = report.texts();
        assert_eq!(message_of(&texts), b"message");
        let parts: Vec<&[u8]> = texts.split(|byte| *byte == 0).collect();
        assert_eq!(parts[..3], [&b"message"[..], b"", b"hint"]);
        assert_eq!(parts[3].len(), LONGEST_TEXT);
        assert_eq!(Report::error(INTERNAL_ERROR, vec![b'm'; LONGEST_TEXT + 1]).texts().len(), LONGEST_TEXT);
    }

    #[test]
    fn sqlstates_are_packed_as_the_server_packs_them() {
        // MAKE_SQLSTATE('5','7','0','1','4') of the server.
        assert_eq!(QUERY_CANCELED, 5 | 7 << 6 | 1 << 18 | 4 << 24);
        assert_eq!(DEADLOCK_DETECTED, 4 | (b'P' as u32 - 48) << 12 | 1 << 24);
    }

    #[test]
    fn a_line_is_appended_not_replaced() {
        let mut report = Report::error(INTERNAL_ERROR, "x");
        report.add_line(Field::Context, b"first");
        report.add_line(Field::Context, b"second");
        assert_eq!(report.get(Field::Context), Some(&b"first\nsecond"[..]));
    }
}
