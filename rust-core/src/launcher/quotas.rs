//! How many open events a role has in a database, about: what was last counted in the tables, and what was emitted
//! since. Nobody says when one ends; so who finds the quota used up counts anew.
//!
//! A role that shares its place with another one of the same time is counted anew, too.

use std::sync::atomic::{AtomicU64, Ordering::*};

const PLACES: usize = 256;

/// In each, in one word: whose it is, and how many. All zeroes is nobody's.
#[derive(Debug)]
pub struct Quotas {
    places: [AtomicU64; PLACES],
}

impl Default for Quotas {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Quotas {
    /// The place of a role, and what names it there.
    fn place(&self, database: u32, role: u32) -> (&AtomicU64, u64) {
        let mixed = (u64::from(database) << 32 | u64::from(role)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (&self.places[(mixed >> 56) as usize % PLACES], (mixed >> 24 & 0xffff_ffff | 1) << 32)
    }

    /// One event more of the role. False: it is to be counted how many there are.
    pub fn take(&self, database: u32, role: u32, quota: u32) -> bool {
        let (place, name) = self.place(database, role);
        let one_more = |word: u64| (word & !0xffff_ffff == name && (word as u32) < quota).then(|| word + 1);
        place.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }

    /// The role has so many.
    pub fn counted(&self, database: u32, role: u32, count: u32) {
        let (place, name) = self.place(database, role);
        place.store(name | u64::from(count), SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_counted_anew_where_nothing_is_known_of_it_and_where_its_quota_is_used_up() {
        let quotas = Quotas::default();
        assert!(!quotas.take(5, 10, 3), "nothing is known");
        quotas.counted(5, 10, 1);
        assert!(quotas.take(5, 10, 3) && quotas.take(5, 10, 3));
        assert!(!quotas.take(5, 10, 3) && quotas.take(5, 10, 4), "the quota is the asker's");
        assert!(!quotas.take(6, 10, 3), "each database for itself");
        quotas.counted(5, 10, 0);
        assert!(quotas.take(5, 10, 3));
    }

    #[test]
    fn of_roles_that_share_a_place_none_has_the_count_of_the_other() {
        let quotas = Quotas::default();
        for role in 1..=2 * PLACES as u32 {
            quotas.counted(5, role, role);
            assert!(!quotas.take(5, role, role) && quotas.take(5, role, role + 1));
        }
        let known = (1..=2 * PLACES as u32).filter(|role| quotas.take(5, *role, u32::MAX)).count();
        assert!(known <= PLACES);
    }
}
