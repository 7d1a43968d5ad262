//! Comparing bytes in the component, eight at a time: every comparison of two texts ends in `memcmp`, and the C library's
//! goes byte by byte, which took a twentieth of all the time of normalising.

#![allow(unsafe_code, reason = "it stands for a function of the C library, which takes pointers")]

/// As the C library's: the order of the first bytes that differ, or 0.
///
/// # Safety
/// Both pointers are good for reading `length` bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: only called for `at + 8 <= length`.
    let eight = |from: *const u8, at: usize| u64::from_be(unsafe { from.add(at).cast::<u64>().read_unaligned() });
    let mut at = 0;
    while at + 8 <= length {
        let (left, right) = (eight(left, at), eight(right, at));
        if left != right {
            return order(left, right);
        }
        at += 8;
    }
    if at < length && at > 0 {
        // The last eight, of which the first are known to be the same.
        let (left, right) = (eight(left, length - 8), eight(right, length - 8));
        return if left == right { 0 } else { order(left, right) };
    }
    while at < length {
        // SAFETY: `at` is below `length`.
        let (left, right) = unsafe { (*left.add(at), *right.add(at)) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
        at += 1;
    }
    0
}

/// Of two numbers that differ.
fn order(left: u64, right: u64) -> i32 {
    if left < right { -1 } else { 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::memcmp;

    proptest! {
        #[test]
        fn it_decides_as_slices_do(
            same in proptest::collection::vec(any::<u8>(), 0..40),
            left in proptest::collection::vec(any::<u8>(), 0..20),
            right in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let length = left.len().min(right.len());
            let left = [&same[..], &left[..length]].concat();
            let right = [&same[..], &right[..length]].concat();
            // SAFETY: both are as long as said.
            let compared = unsafe { memcmp(left.as_ptr(), right.as_ptr(), left.len()) };
            prop_assert_eq!(compared.cmp(&0), left.cmp(&right));
        }
    }
}
