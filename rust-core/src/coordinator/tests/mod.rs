//! Tests of what the parts of a coordinator share, and of the life of its process.

mod life;
mod parts;
mod unseen;
