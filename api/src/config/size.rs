//! Sizes as people write them: `1048576`, `512KiB`, `32MiB`.

use std::{fmt, str::FromStr};

const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(usize);

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a size is a number of bytes, or a number with KiB, MiB or GiB")]
pub struct BadSize;

impl Size {
    /// So many bytes.
    pub const fn of_bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    /// So many times 1,048,576 bytes.
    pub const fn of_mebibytes(mebibytes: usize) -> Self {
        Self(mebibytes << 20)
    }

    /// As a number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl FromStr for Size {
    type Err = BadSize;
    fn from_str(text: &str) -> Result<Self, BadSize> {
        let with_unit = UNITS.iter().find_map(|(name, factor)| Some((text.strip_suffix(name)?, *factor)));
        let (number, factor) = with_unit.unwrap_or((text, 1));
        let number: usize = number.trim_end().parse().map_err(|_| BadSize)?;
        number.checked_mul(factor).map(Self).ok_or(BadSize)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, usize)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        match UNITS.iter().find(fits) {
            Some((name, factor)) if *factor > 1 => write!(f, "{}{name}", self.0 / factor),
            _ => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("0", 0, "0"),
            ("1000", 1000, "1000"),
            ("10B", 10, "10"),
            ("512KiB", 512 << 10, "512KiB"),
            ("1024 KiB", 1 << 20, "1MiB"),
            ("2GiB", 2 << 30, "2GiB"),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), shown);
        }
        for text in ["", "MiB", "-1", "1.5MiB", "1MB", "99999999999GiB"] {
            assert_eq!(text.parse::<Size>(), Err(BadSize), "{text}");
        }
    }
}
