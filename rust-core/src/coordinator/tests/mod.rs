//! Tests of what the parts of a coordinator share.

mod parts;
mod unseen;
