//! No panic leaves Rust: every export runs inside [`caught`]. A panic is a bug; its text is kept
//! for the one error that reports it instead of being printed to the server's stderr.

use aside_core::memory::may_fail;
#[cfg(debug_assertions)]
use std::cell::Cell;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
    #[cfg(debug_assertions)]
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

/// The next export of this thread panics. Not there in what is installed.
#[cfg(debug_assertions)]
pub fn panic_next() {
    PANICS.set(true);
}

#[cfg(debug_assertions)]
#[allow(clippy::panic, reason = "it is what was asked for")]
fn panic_if_asked() {
    if PANICS.take() {
        panic!("a panic was asked for");
    }
}

static HOOK: Once = Once::new();

/// Run `body`; the text of the panic if it panicked.
///
/// AssertUnwindSafe: all state that outlives an export is cells and atomics whose every intermediate
/// value is a valid one, and leases end in Drop.
pub fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        // The linker makes thread locals at their first use, and ends a process that has no memory for them.
        _ = (may_fail(), LAST.with(|last| last.try_borrow().is_ok()));
        set_hook(Box::new(|info| {
            LAST.with(|last| {
                if let Ok(mut last) = last.try_borrow_mut() {
                    *last = format!("{info}");
                }
            });
        }));
    });
    let body = || {
        #[cfg(debug_assertions)]
        panic_if_asked();
        body()
    };
    catch_unwind(AssertUnwindSafe(body)).map_err(|_| LAST.with(|last| last.take()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_becomes_a_value_and_keeps_its_text() {
        let text = super::caught(|| panic!("the cause")).unwrap_err();
        assert!(text.contains("the cause"), "{text}");
        assert_eq!(super::caught(|| 7), Ok(7));
    }
}
