//! The C ABI of pg_aside, and the only Rust with `unsafe` in it.
//!
//! ARCHITECTURE.md lists its rules ("FFI rules"), and what checks each of them. [`export`] makes what C calls, [`hosts`] calls
//! C, [`abi`] is generated from aside_abi.h.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_macros))]

#[allow(non_camel_case_types, non_upper_case_globals, missing_docs, clippy::all, clippy::undocumented_unsafe_blocks, reason = "generated")]
#[rustfmt::skip]
pub mod abi {
    include!(concat!(env!("OUT_DIR"), "/abi.rs"));
}

/// What aside_abi.h declares of the exports.
#[allow(dead_code, improper_ctypes, non_camel_case_types, missing_docs, clippy::all, clippy::undocumented_unsafe_blocks, reason = "generated")]
#[rustfmt::skip]
mod declared {
    include!(concat!(env!("OUT_DIR"), "/declared.rs"));
}

pub mod bytes;
mod constants;
pub mod convert;
pub mod export;
pub mod exports;
pub mod guard;
pub mod hosts;
pub mod memory;
#[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17", feature = "pg18"))]
mod pg_constants;
