//! The boundary, in one macro: every function that C calls is made by [`export!`](crate::export!), and by nothing else.
//!
//! What the macro does, for each of them alike: it catches a panic; it turns each argument from what C hands over
//! ([`FromC::Raw`]) into what the body works with, and refuses a NULL where none is meant, and a table of functions that
//! another build has filled; it names, beside the signature, the value returned instead; it has the compiler compare the
//! signature with the declaration in aside_abi.h.
//!
//! Its forms:
//! ```text
//! fn name(arguments) -> type, otherwise(value) { .. }      a value; `value` where an argument was refused, or on a panic
//! fn name(arguments) { .. }                                nothing; nothing more is done then
//! fn name(arguments) raises(host) { .. }                   the body is a Result<(), Failed>, the function a status:
//!                        ASIDE_SAVED if `host` keeps an error, that of a panic as well; ASIDE_PANIC if it was given a NULL
//! fn name(arguments) raises(host), status { .. }           the same, with a status of its own where it did not fail
//! ```

use crate::abi::*;
use crate::bytes::optional;
use crate::convert::call_of;
use crate::guard::caught;
use crate::hosts::caller::Caller;
use crate::memory::allocator;
use aside_core::caller::call::Call;
use aside_core::error::Error;
use aside_core::memory::NoMemory;
use aside_core::report::{Field, INTERNAL_ERROR, Report};
use std::ops::Deref;

/// Why the body of an export is not run.
#[derive(Debug)]
pub enum Refused {
    Null,
    /// A table of functions whose first member is not ASIDE_ABI_VERSION: nothing else of it is read.
    OtherBuild,
    NoMemory(NoMemory),
}

/// An argument as the body of an export works with it.
pub trait FromC: Sized {
    /// The same as C hands it over.
    type Raw: Copy;

    /// # Safety
    /// `raw` is NULL, or what the implementing type says of it.
    unsafe fn from_c(raw: Self::Raw) -> Result<Self, Refused>;
}

macro_rules! as_they_are {
    ($($type:ty)*) => { $(
        impl FromC for $type {
            type Raw = Self;
            unsafe fn from_c(raw: Self) -> Result<Self, Refused> {
                Ok(raw)
            }
        }
    )* };
}
as_they_are!(bool u32 i64 u64 usize f64);

/// A pointer of which the body itself says what it does with it.
impl<T> FromC for *const T {
    type Raw = Self;
    unsafe fn from_c(raw: Self) -> Result<Self, Refused> {
        if raw.is_null() { Err(Refused::Null) } else { Ok(raw) }
    }
}

impl<T> FromC for *mut T {
    type Raw = Self;
    unsafe fn from_c(raw: Self) -> Result<Self, Refused> {
        if raw.is_null() { Err(Refused::Null) } else { Ok(raw) }
    }
}

/// What ends the process; see allocator.rs.
impl FromC for allocator::Out {
    type Raw = Option<Self>;
    unsafe fn from_c(raw: Option<Self>) -> Result<Self, Refused> {
        raw.ok_or(Refused::Null)
    }
}

/// What C lends for the call, or a handle of ours that is only looked at. Shared: nobody writes it meanwhile.
impl<T> FromC for &T {
    type Raw = *const T;
    unsafe fn from_c(raw: *const T) -> Result<Self, Refused> {
        // SAFETY: NULL, or valid during the call, per the contract.
        unsafe { raw.as_ref() }.ok_or(Refused::Null)
    }
}

/// A handle of ours, made by an export and not yet given back. A shared reference all the same: an export may be entered
/// again from within a host call of another.
pub struct Handle<'a, T>(&'a T);

impl<T> FromC for Handle<'_, T> {
    type Raw = *mut T;
    unsafe fn from_c(raw: *mut T) -> Result<Self, Refused> {
        // SAFETY: NULL, or made by us and used by this thread alone, per the contract.
        unsafe { raw.as_ref() }.map(Self).ok_or(Refused::Null)
    }
}

impl<T> Deref for Handle<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0
    }
}

/// A place of C's that is written on success.
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    pub fn write(&self, value: T) {
        // SAFETY: not NULL, and writable during the call, per the contract of `from_c`.
        unsafe { self.0.write(value) }
    }
}

impl<T> FromC for Out<T> {
    type Raw = *mut T;
    unsafe fn from_c(raw: *mut T) -> Result<Self, Refused> {
        if raw.is_null() { Err(Refused::Null) } else { Ok(Self(raw)) }
    }
}

/// Bytes that are readable during the call; None is SQL's NULL.
pub struct Text<'a>(pub Option<&'a [u8]>);

impl FromC for Text<'_> {
    type Raw = aside_bytes;
    unsafe fn from_c(raw: aside_bytes) -> Result<Self, Refused> {
        // SAFETY: absent, or readable during the call, per the contract.
        Ok(Self(unsafe { optional(&raw) }))
    }
}

/// A table of functions of the shim's, of this build.
pub struct Vtable<'a, T>(&'a T);

impl<'a, T> Vtable<'a, T> {
    pub fn get(&self) -> &'a T {
        self.0
    }
}

impl<T> FromC for Vtable<'_, T> {
    type Raw = *const T;
    unsafe fn from_c(raw: *const T) -> Result<Self, Refused> {
        if raw.is_null() {
            return Err(Refused::Null);
        }
        // SAFETY: each such table begins with the number of its build, per aside_abi.h; more of it may not be there.
        if unsafe { raw.cast::<u32>().read() } != ASIDE_ABI_VERSION {
            return Err(Refused::OtherBuild);
        }
        // SAFETY: not NULL, of our build, and valid during the call, per the contract.
        Ok(Self(unsafe { &*raw }))
    }
}

/// A call, with everything that it points to.
impl FromC for Call<'_> {
    type Raw = *const aside_call;
    unsafe fn from_c(raw: *const aside_call) -> Result<Self, Refused> {
        // SAFETY: NULL, or it and what it points to are readable during the call, per the contract.
        unsafe { call_of(raw.as_ref().ok_or(Refused::Null)?) }.map_err(Refused::NoMemory)
    }
}

/// How the body of an export that may raise an error has ended: it, its arguments, its panic.
type Ran = Result<Result<Result<aside_status::Type, Error>, Refused>, String>;

/// What came of an export that may raise an error, as a status; the error is kept by the host.
///
/// # Safety
/// `host` is as for [`Caller`].
#[inline]
pub unsafe fn settled(ran: Ran, host: *const aside_caller_host) -> aside_status::Type {
    match ran {
        Ok(Ok(Ok(status))) => status,
        // SAFETY: passed on.
        failed => unsafe { kept(failed, host) },
    }
}

#[cold]
unsafe fn kept(ran: Ran, host: *const aside_caller_host) -> aside_status::Type {
    let report = match ran {
        Ok(Ok(Ok(status))) => return status,
        Ok(Ok(Err(Error::Saved))) => return aside_status::ASIDE_SAVED,
        Ok(Ok(Err(Error::Report(report)))) => report,
        Ok(Err(Refused::NoMemory(no))) => Box::new(Report::out_of_memory(no)),
        Ok(Err(Refused::OtherBuild)) => return aside_status::ASIDE_OTHER_BUILD,
        Ok(Err(Refused::Null)) => return aside_status::ASIDE_PANIC,
        Err(text) => of_panic(text),
    };
    let fail = || {
        // SAFETY: as the caller says.
        unsafe { Caller::from_c(host) }.map(|host| host.fail(&report))
    };
    if matches!(caught(fail), Ok(Ok(()))) { aside_status::ASIDE_SAVED } else { aside_status::ASIDE_PANIC }
}

/// The error that tells of a panic.
pub fn of_panic(text: String) -> Box<Report> {
    Box::new(Report::error(INTERNAL_ERROR, "internal error in pg_aside").with(Field::Detail, text))
}

/// The body of an export, which may return early.
#[inline]
pub fn run<T>(body: impl FnOnce() -> T) -> T {
    body()
}

/// See the top of this file.
#[macro_export]
macro_rules! export {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $ret:ty, otherwise($otherwise:expr) $body:block) => {
        $crate::export!(@made [$(#[$meta])*] $name($($arg: $type),*) -> $ret, {
            let ran = $crate::guard::caught(|| -> Result<$ret, $crate::export::Refused> { Ok({
                $(
                    // SAFETY: C hands over what aside_abi.h says.
                    let $arg = unsafe { <$type as $crate::export::FromC>::from_c($arg)? };
                )*
                $crate::export::run(|| -> $ret { $body })
            })});
            match ran {
                Ok(Ok(value)) => value,
                _ => $otherwise,
            }
        });
    };
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) raises($host:ident) $body:block) => {
        $crate::export!($(#[$meta])* fn $name($($arg: $type),*) raises($host), status {
            $crate::export::run(|| -> Result<(), aside_core::error::Error> { $body }).map(|()| $crate::abi::aside_status::ASIDE_OK)
        });
    };
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) raises($host:ident), status $body:block) => {
        $crate::export!(@made [$(#[$meta])*] $name($($arg: $type),*) -> $crate::abi::aside_status::Type, {
            let ran = $crate::guard::caught(|| Ok({
                $(
                    // SAFETY: C hands over what aside_abi.h says.
                    let $arg = unsafe { <$type as $crate::export::FromC>::from_c($arg)? };
                )*
                _ = &$host;
                $crate::export::run(|| -> Result<$crate::abi::aside_status::Type, aside_core::error::Error> { $body })
            }));
            // SAFETY: C hands over what aside_abi.h says.
            unsafe { $crate::export::settled(ran, $host) }
        });
    };
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $crate::export!($(#[$meta])* fn $name($($arg: $type),*) -> (), otherwise(()) $body);
    };
    (@made [$(#[$meta:meta])*] $name:ident($($arg:ident: $type:ty),*) -> $ret:ty, $run:block) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// Each argument is what its type says, and lives as long.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: <$type as $crate::export::FromC>::Raw),*) -> $ret $run

        // The declaration is there, and says the same.
        const _: unsafe extern "C" fn($(<$type as $crate::export::FromC>::Raw),*) -> $ret = $crate::declared::$name;
    };
}
