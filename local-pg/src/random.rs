//! Randomness from the kernel, for passwords and names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;

const SOURCE: &str = "/dev/urandom";

/// `2 * N` hexadecimal digits.
pub(crate) fn hex<const N: usize>() -> Result<String, Error> {
    Ok(bytes::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `N` random bytes.
fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    File::open(SOURCE)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Error::io("read", Path::new(SOURCE)))?;
    Ok(bytes)
}
