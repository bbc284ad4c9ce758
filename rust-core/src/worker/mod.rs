//! A pooled worker: its main loop, the bracket around one request, what it keeps between requests.
mod events;
pub mod main_loop;
pub mod plan_cache;
pub mod reply;
pub mod request;
mod spool;
mod task;
