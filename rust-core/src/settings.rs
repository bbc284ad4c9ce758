//! A caller's changed settings, as one opaque block that the shim makes and applies.
//!
//! The core only names such blocks: a 128-bit keyed hash says whether a worker already has them
//! applied (compared across sessions, so neither accident nor a tenant's choice of values may make
//! two blocks look alike), and a second hash covers those settings that change what a command's text
//! means, so that a cached plan is used only where the same text would be parsed the same way.
//!
//! Layout of an entry: four native u32 (name length, value length, context, role), the name, a zero
//! byte, the value, a zero byte.

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// Names of a settings block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub hash: [u64; 2],
    pub parse: u64,
}

/// Settings that never change how a command is parsed or planned, nor what that tells the caller. All
/// others, but custom ones (with a dot in their name), are taken to do so.
const IRRELEVANT: [&[u8]; 6] =
    [b"application_name", b"client_encoding", b"log_min_messages", b"lock_timeout", b"statement_timeout", b"synchronous_commit"];

/// Name a block. An empty block gets names too; no block is ever named `[0, 0]`.
pub fn name(block: &[u8], key: [u64; 2]) -> Names {
    let mut whole = SipHasher13::new_with_keys(key[0], key[1]);
    whole.write(block);
    let whole = whole.finish128();
    let mut parse = SipHasher13::new_with_keys(key[1], key[0]);
    let mut rest = block;
    while let Some((entry, name, tail)) = entry(rest) {
        if !name.contains(&b'.') && !IRRELEVANT.contains(&name) {
            parse.write(entry);
        }
        rest = tail;
    }
    Names { hash: [whole.h1 | 1, whole.h2], parse: parse.finish128().h1 }
}

/// The first entry of a block: all of it, its name, what follows.
fn entry(block: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let word = |i: usize| Some(u32::from_ne_bytes(*block.get(i..)?.first_chunk::<4>()?) as usize);
    let (name, value) = (word(0)?, word(4)?);
    let length = 16usize.checked_add(name)?.checked_add(value)?.checked_add(2)?;
    if length > block.len() {
        return None;
    }
    Some((&block[..length], &block[16..16 + name], &block[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(settings: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in settings {
            for n in [name.len() as u32, value.len() as u32, 6, 10] {
                out.extend(n.to_ne_bytes());
            }
            out.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        out
    }

    const KEY: [u64; 2] = [1, 2];

    #[test]
    fn custom_settings_do_not_change_the_parse_name() {
        let one = name(&block(&[("DateStyle", "ISO"), ("app.user_id", "1")]), KEY);
        let two = name(&block(&[("DateStyle", "ISO"), ("app.user_id", "2")]), KEY);
        assert_ne!(one.hash, two.hash);
        assert_eq!(one.parse, two.parse);
    }

    #[test]
    fn settings_of_the_parser_do() {
        let one = name(&block(&[("standard_conforming_strings", "on")]), KEY);
        let two = name(&block(&[("standard_conforming_strings", "off")]), KEY);
        assert_ne!(one.parse, two.parse);
    }

    #[test]
    fn a_broken_block_is_named_without_reading_beyond_it() {
        let whole = block(&[("a", "b"), ("c", "d")]);
        for cut in 0..whole.len() {
            name(&whole[..cut], KEY);
        }
        name(&[0xff; 40], KEY);
    }
}
