//! The C ABI of pg_aside, and the only Rust with `unsafe` in it.
//!
//! Rules, each of them checked somewhere:
//! 1. No longjmp crosses a Rust frame: every host member traps the server's errors and returns a status.
//! 2. No unwind crosses a C frame: every export runs inside [`guard::caught`].
//! 3. The final ereport happens in C, with no Rust frame below it.
//! 4. FATAL does not come back: the server then calls C exit callbacks, which call the `*_exit`
//!    exports while Rust frames of the same thread are suspended for ever. Those exports touch only
//!    atomics in shared memory and `Cell`s, never anything that a suspended frame may hold borrowed.
//! 5. Status first, data after; outputs are written only on success.
//! 6. Whoever allocates frees; what a call receives is valid during that call only.
//! 7. Signal handlers are the server's, or C. One thread.
//! 8. `aside_abi.h` is the source of truth; [`abi`] is generated from it.
//! 9. Only what `c-shim/exports.txt` names leaves the module.
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
