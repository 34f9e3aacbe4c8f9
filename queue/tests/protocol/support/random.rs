//! Randomness that can be had again.

/// A generator whose seed is shown when the test fails.
#[expect(clippy::print_stdout, reason = "captured, and shown when the test fails")]
pub(crate) fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}
