//! Allocations that can fail. These functions make every allocation whose size depends on a user's input, or on the number
//! of anything that users make. The standard library ends the process if an allocation fails, and the end of one process
//! restarts the cluster.
//!
//! All other allocations are small and of fixed size: the node of a tree, the box of an error. The allocator of the ffi crate
//! has a reserve for them. Once the reserve has been used, each new call first looks whether there is room ([`look_for`]).

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// There is no memory for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory(pub &'static str);

/// What one call, one request, or one turn may allocate in small pieces without asking. The reserve is larger.
pub const SMALL: usize = 16 * 1024;

/// Has this process ever used its reserve?
static RESERVE_USED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static MAY_FAIL: Cell<bool> = const { Cell::new(false) };
}

/// Called by the allocator: from now on the reserve may not be whole.
pub fn reserve_used() {
    RESERVE_USED.store(true, Relaxed);
}

/// Asked by the allocator: can the allocation under way be refused?
pub fn may_fail() -> bool {
    MAY_FAIL.get()
}

/// Make an allocation that can be refused.
fn asking<T, E>(what: &'static str, allocate: impl FnOnce() -> Result<T, E>) -> Result<T, NoMemory> {
    #[cfg(test)]
    if tests::refused() {
        return Err(NoMemory(what));
    }
    let before = MAY_FAIL.replace(true);
    let result = allocate();
    MAY_FAIL.set(before);
    result.map_err(|_| NoMemory(what))
}

/// A collection that grows.
pub trait Grows {
    /// Make room for so many more elements.
    fn room(&mut self, more: usize, what: &'static str) -> Result<(), NoMemory>;
}

impl<T> Grows for Vec<T> {
    #[expect(clippy::disallowed_methods, reason = "here it is asked for")]
    fn room(&mut self, more: usize, what: &'static str) -> Result<(), NoMemory> {
        if self.capacity() - self.len() >= more {
            return Ok(());
        }
        asking(what, || self.try_reserve(more))
    }
}

impl<T> Grows for VecDeque<T> {
    fn room(&mut self, more: usize, what: &'static str) -> Result<(), NoMemory> {
        asking(what, || self.try_reserve(more))
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Grows for HashMap<K, V, S> {
    fn room(&mut self, more: usize, what: &'static str) -> Result<(), NoMemory> {
        asking(what, || self.try_reserve(more))
    }
}

/// Append one element.
#[expect(clippy::disallowed_methods, reason = "there is room")]
pub fn push<T>(to: &mut Vec<T>, element: T, what: &'static str) -> Result<(), NoMemory> {
    to.room(1, what)?;
    to.push(element);
    Ok(())
}

/// Append some.
#[expect(clippy::disallowed_methods, reason = "there is room")]
pub fn append<T: Copy>(to: &mut Vec<T>, elements: &[T], what: &'static str) -> Result<(), NoMemory> {
    to.room(elements.len(), what)?;
    to.extend_from_slice(elements);
    Ok(())
}

/// So many of the same.
#[expect(clippy::disallowed_methods, reason = "there is room")]
pub fn extend<T: Copy>(to: &mut Vec<T>, count: usize, element: T, what: &'static str) -> Result<(), NoMemory> {
    to.room(count, what)?;
    to.resize(to.len() + count, element);
    Ok(())
}

/// Append bytes as words, the last one padded.
pub fn append_words(to: &mut Vec<u64>, bytes: &[u8], what: &'static str) -> Result<(), NoMemory> {
    to.room(bytes.len().div_ceil(8), what)?;
    push_words(to, bytes);
    Ok(())
}

/// The same where they are few, or there is room.
#[expect(clippy::disallowed_methods, reason = "whoever has many has made room")]
pub fn push_words(to: &mut Vec<u64>, bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    to.extend(whole.iter().map(|word| u64::from_ne_bytes(*word)));
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        to.push(u64::from_ne_bytes(word));
    }
}

/// A copy.
pub fn copy<T: Copy>(elements: &[T], what: &'static str) -> Result<Vec<T>, NoMemory> {
    joined(&[elements], what)
}

/// One after the other.
#[expect(clippy::disallowed_methods, reason = "there is room")]
pub fn joined<T: Copy>(parts: &[&[T]], what: &'static str) -> Result<Vec<T>, NoMemory> {
    let mut all = Vec::new();
    all.room(parts.iter().map(|part| part.len()).sum(), what)?;
    parts.iter().for_each(|part| all.extend_from_slice(part));
    Ok(all)
}

/// All that comes.
pub fn collect<T>(elements: impl IntoIterator<Item = T>, what: &'static str) -> Result<Vec<T>, NoMemory> {
    let elements = elements.into_iter();
    let mut all = Vec::new();
    all.room(elements.size_hint().0, what)?;
    for element in elements {
        push(&mut all, element, what)?;
    }
    Ok(all)
}

/// All that comes, if none of it fails.
pub fn try_collect<T, E: From<NoMemory>>(elements: impl IntoIterator<Item = Result<T, E>>, what: &'static str) -> Result<Vec<T>, E> {
    let mut all = Vec::new();
    for element in elements {
        push(&mut all, element?, what)?;
    }
    Ok(all)
}

/// The reserve has room for what is small, as long as it is whole.
fn must_look(bytes: usize) -> bool {
    bytes > SMALL || RESERVE_USED.load(Relaxed)
}

/// Is there room for so many bytes in small pieces? What is freed here is found by who allocates next.
pub fn look_for(bytes: usize, what: &'static str) -> Result<(), NoMemory> {
    if must_look(bytes) {
        return Vec::<u8>::new().room(bytes, what);
    }
    #[cfg(test)]
    if tests::refused() {
        return Err(NoMemory(what));
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    thread_local! {
        static REFUSAL: RefCell<Refusal> = RefCell::default();
    }

    /// What is refused, to one thread or to several: the nth that is asked for from now on, once.
    #[derive(Clone, Debug, Default)]
    pub struct Refusal(Arc<AtomicU64>);

    impl Refusal {
        /// 0: nothing.
        pub fn of(nth: u64) -> Self {
            Self(Arc::new(AtomicU64::new(nth)))
        }

        pub fn was_met(&self) -> bool {
            self.0.load(SeqCst) == 0
        }

        /// Refuse nothing more.
        pub fn end(&self) {
            self.0.store(0, SeqCst);
        }

        /// It holds for this thread.
        pub fn hold(self) {
            REFUSAL.set(self);
        }
    }

    /// Refuse what this thread asks for the nth time from now on, once; 0: nothing.
    pub fn refuse(nth: u64) {
        Refusal::of(nth).hold();
    }

    /// Has it been refused?
    pub fn was_refused() -> bool {
        REFUSAL.with_borrow(Refusal::was_met)
    }

    pub fn refused() -> bool {
        REFUSAL.with_borrow(|refusal| refusal.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) == Ok(1))
    }

    #[test]
    fn what_cannot_be_had_is_refused_and_nothing_is_lost() {
        let mut some = vec![1u64, 2];
        assert_eq!(some.room(usize::MAX / 16, "x"), Err(NoMemory("x")));
        assert_eq!(look_for(isize::MAX as usize, "y"), Err(NoMemory("y")));
        assert_eq!(some, [1, 2]);
        assert!(!may_fail());
    }

    #[test]
    fn a_small_beginning_looks_for_room_once_the_reserve_has_been_used() {
        assert!(must_look(SMALL + 1));
        reserve_used();
        assert!(must_look(1));
        assert_eq!(look_for(SMALL, "x"), Ok(()));
    }

    #[test]
    fn what_is_collected_is_whole() {
        assert_eq!(collect((0..1000).filter(|n| n % 3 == 0), "x").unwrap().len(), 334);
        assert_eq!(joined(&[b"ab", b"", b"c"], "x").unwrap(), b"abc");
        let failed: Result<Vec<u8>, NoMemory> = try_collect([Ok(1), Err(NoMemory("z"))], "x");
        assert_eq!(failed, Err(NoMemory("z")));
    }
}
