//! Errors and messages, with every field that the server's own carry.
//! Built by the core for its own errors, decoded from the wire for those of a worker.

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

pub const NULL_VALUE_NOT_ALLOWED: u32 = sqlstate(b"22004");
pub const FEATURE_NOT_SUPPORTED: u32 = sqlstate(b"0A000");
pub const CONNECTION_DOES_NOT_EXIST: u32 = sqlstate(b"08003");
pub const OBJECT_NOT_IN_PREREQUISITE_STATE: u32 = sqlstate(b"55000");
pub const DUPLICATE_OBJECT: u32 = sqlstate(b"42710");
pub const UNDEFINED_OBJECT: u32 = sqlstate(b"42704");
pub const FAILED_TRANSACTION: u32 = sqlstate(b"25P02");
pub const CONNECTION_FAILURE: u32 = sqlstate(b"08006");
pub const DEADLOCK_DETECTED: u32 = sqlstate(b"40P01");
pub const INSUFFICIENT_PRIVILEGE: u32 = sqlstate(b"42501");
pub const SYNTAX_ERROR: u32 = sqlstate(b"42601");
pub const UNDEFINED_PARAMETER: u32 = sqlstate(b"42P02");
pub const ADMIN_SHUTDOWN: u32 = sqlstate(b"57P01");
pub const OUT_OF_MEMORY: u32 = sqlstate(b"53200");
pub const CONFIGURATION_LIMIT_EXCEEDED: u32 = sqlstate(b"53400");
pub const STATEMENT_TOO_COMPLEX: u32 = sqlstate(b"54001");
pub const QUERY_CANCELED: u32 = sqlstate(b"57014");
pub const PROTOCOL_VIOLATION: u32 = sqlstate(b"08P01");
pub const INTERNAL_ERROR: u32 = sqlstate(b"XX000");

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

/// An error or a lesser message. Texts are bytes in the database's encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    pub fn error(state: u32, message: impl Into<String>) -> Self {
        let mut report = Self { sqlstate: state, ..Self::default() };
        report.text[Field::Message as usize] = Some(message.into().into_bytes());
        report
    }

    /// The same with one more field.
    pub fn with(mut self, field: Field, value: impl Into<Vec<u8>>) -> Self {
        self.text[field as usize] = Some(value.into());
        self
    }

    /// One field, if present.
    pub fn get(&self, field: Field) -> Option<&[u8]> {
        self.text[field as usize].as_deref()
    }

    /// Append a line to a field.
    pub fn add_line(&mut self, field: Field, line: &[u8]) {
        match &mut self.text[field as usize] {
            Some(text) if !text.is_empty() => {
                text.push(b'\n');
                text.extend_from_slice(line);
            }
            empty => *empty = Some(line.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
