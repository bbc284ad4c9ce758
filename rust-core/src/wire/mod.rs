//! Between caller and worker: a ring of words in shared memory, frames upon it, messages in them.
pub mod batch;
pub mod codec;
pub mod frame;
pub mod message;
pub mod ring;
