//! A pooled worker: its main loop, the bracket around one request, what it keeps between requests.
mod events;
pub mod main_loop;
pub mod plan_cache;
pub mod process;
pub mod reply;
pub mod request;
mod serve;
mod spool;
mod task;
