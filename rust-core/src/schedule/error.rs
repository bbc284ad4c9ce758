//! An error of a specification. It says what is wrong and where.

use crate::memory::NoMemory;
use crate::report::{OUT_OF_MEMORY, sqlstate};

pub const INVALID_PARAMETER_VALUE: u32 = sqlstate(b"22023");

/// The texts that tell a user why a specification is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub sqlstate: u32,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

pub fn wrong(message: impl Into<String>, detail: impl Into<String>) -> Wrong {
    Wrong { sqlstate: INVALID_PARAMETER_VALUE, message: message.into(), detail: detail.into(), hint: String::new() }
}

impl Wrong {
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

impl From<NoMemory> for Wrong {
    fn from(no: NoMemory) -> Self {
        Self { sqlstate: OUT_OF_MEMORY, message: format!("out of memory for {}", no.0), detail: String::new(), hint: String::new() }
    }
}
