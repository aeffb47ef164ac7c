//! Order-independent digests, by which mirrors of a table are compared.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::Value;

/// A digest of a set of rows: the sum of the digests of its rows, so that it can be kept up to
/// date row by row and does not depend on order. It finds accidents, not forgeries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(u64);

impl Digest {
    /// The digest of one row.
    pub fn of(row: &[Value]) -> Self {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        row.hash(&mut hasher);
        // FNV's high bits are weak; one round of a finaliser mixes them.
        let mut h = hasher.finish();
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        Self(h ^ (h >> 33))
    }

    /// Counts a row in.
    pub fn add(&mut self, row: Self) {
        self.0 = self.0.wrapping_add(row.0);
    }

    /// Counts a row out.
    pub fn remove(&mut self, row: Self) {
        self.0 = self.0.wrapping_sub(row.0);
    }
}

/// FNV-1a: fixed for ever, unlike the standard library's hasher, because digests are compared
/// between nodes of different versions.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
