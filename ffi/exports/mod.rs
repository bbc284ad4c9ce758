//! Every function that C calls, and nothing else, by what it serves. Each is guarded; what it returns on a panic stands
//! beside its signature.
//!
//! For all of them: `pool` came from `aside_pool_attach` and was not freed; `host` points to a vtable
//! that the shim filled; both are used from the one thread of the process. Shared references only: an
//! export may be entered again from within a host call of another.

pub mod calls;
pub mod events;
pub mod pool;
pub mod registry;
pub mod sessions;
pub mod tasks;
pub mod worker;
