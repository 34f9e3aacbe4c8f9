//! Which tasks of a batch are meant: a bit per place.

use std::ops::{BitAnd, BitOr, Not};

/// A set of up to 64 tasks of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mask(u64);

impl Mask {
    /// No task.
    pub const EMPTY: Self = Self(0);

    /// The task at one place (0..64).
    pub const fn of_place(place: u32) -> Self {
        Self(1 << place)
    }

    /// The first `count` places (at most 64).
    pub const fn first(count: usize) -> Self {
        if count >= 64 { Self(u64::MAX) } else { Self((1 << count) - 1) }
    }

    /// As Postgres stores it.
    pub const fn from_sql(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }

    /// As Postgres stores it.
    pub const fn to_sql(self) -> i64 {
        self.0.cast_signed()
    }

    /// How many tasks.
    pub const fn size(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether it holds no task.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every task of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The first `count` tasks of it: how a claim splits a batch.
    pub fn lowest(self, count: usize) -> Self {
        self.places().take(count).map(Self::of_place).fold(Self::EMPTY, BitOr::bitor)
    }

    /// Its places, ascending.
    pub fn places(self) -> impl Iterator<Item = u32> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let place = (bits != 0).then(|| bits.trailing_zeros())?;
            bits &= bits - 1;
            Some(place)
        })
    }
}

impl BitOr for Mask {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Mask {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Mask {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}
