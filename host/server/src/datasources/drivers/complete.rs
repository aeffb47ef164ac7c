//! Whether a component's file ends where its last section does.
//!
//! A copy that is under way, or was cut, mostly ends within a section. That is seen by stepping
//! over the sections' lengths, without looking into them.

/// What every component begins with.
const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

/// Whether nothing is missing at the end. A file that is no component counts as complete: what is
/// wrong with it, the host of drivers says better.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(HEADER) else {
        return !HEADER.starts_with(bytes);
    };
    while !rest.is_empty() {
        match section(rest) {
            Section::Whole(after) => rest = after,
            Section::Cut => return false,
            Section::Malformed => return true,
        }
    }
    true
}

enum Section<'a> {
    /// It is all there; this follows it.
    Whole(&'a [u8]),
    /// The file ends before it does.
    Cut,
    /// Its length is none.
    Malformed,
}

/// Steps over one section: an id, the length of what follows (LEB128, up to 32 bits), and that.
fn section(bytes: &[u8]) -> Section<'_> {
    let mut length = 0_u64;
    for position in 0..5_u32 {
        let Some(byte) = bytes.get(1 + position as usize) else {
            return Section::Cut;
        };
        length |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            let begin = 2 + position as usize;
            let end = usize::try_from(length).ok().and_then(|length| begin.checked_add(length));
            return match end.and_then(|end| bytes.get(end..)) {
                Some(after) => Section::Whole(after),
                None => Section::Cut,
            };
        }
    }
    Section::Malformed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and two sections, the second one longer than one byte of length can say.
    fn component() -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        bytes.extend([0, 3, 1, b'a', b'b', 7, 0x80 | 0x48, 0x01]);
        bytes.extend([9; 200]);
        bytes
    }

    #[test]
    fn only_whole_sections_are_complete() {
        let bytes = component();
        let complete: Vec<_> =
            (0..=bytes.len()).filter(|length| is_complete(&bytes[..*length])).collect();
        assert_eq!(complete, [8, 13, bytes.len()], "ends of sections");
    }

    #[test]
    fn other_files_are_judged_elsewhere() {
        for other in [&b"not wasm at all"[..], b"\0asm\x01\0\0\0\x01\x05", b"\0asm broken"] {
            assert!(is_complete(other), "{other:?}");
        }
        assert!(is_complete(b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\xff\x01"));
        assert!(!is_complete(b""), "a file begins empty");
    }
}
