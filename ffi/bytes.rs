//! Pointer and length to slices and back; the only `from_raw_parts` of the project.

use crate::abi;

/// A slice of what C handed over; empty for a null pointer.
///
/// # Safety
/// `data` is null or points to `len` initialized elements that nobody writes while the result lives.
pub unsafe fn slice<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if data.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// The bytes of an `aside_bytes`; None where it is absent.
///
/// # Safety
/// As for [`slice`].
pub unsafe fn optional<'a>(bytes: &abi::aside_bytes) -> Option<&'a [u8]> {
    if bytes.data.is_null() {
        return None;
    }
    // SAFETY: passed on.
    Some(unsafe { slice(bytes.data, bytes.len) })
}

/// For C to read during a call. An empty slice stays distinct from an absent one.
pub fn lend(bytes: &[u8]) -> abi::aside_bytes {
    abi::aside_bytes { data: bytes.as_ptr(), len: bytes.len() }
}

/// The same for what may be absent.
pub fn lend_optional(bytes: Option<&[u8]>) -> abi::aside_bytes {
    bytes.map_or(abi::aside_bytes { data: std::ptr::null(), len: 0 }, lend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_not_absent() {
        let (empty, absent) = (lend(b""), lend_optional(None));
        // SAFETY: both point to what `lend` was given, or nowhere.
        unsafe {
            assert_eq!(optional(&empty), Some(&b""[..]));
            assert_eq!(optional(&absent), None);
        }
    }
}
