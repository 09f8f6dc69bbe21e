//! Repeatable randomness: the same seed gives the same data on every machine and version.

/// A SplitMix64 generator: small, fast, and good enough for made-up data.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for one purpose: the same seed with another stream gives unrelated numbers.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        random.next();
        random
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to below `bound`; 0 for a bound of 0. The bias of the remainder does not matter
    /// here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True in this share of cases; 0 is never, 1 always.
    pub fn chance(&mut self, share: f64) -> bool {
        const STEPS: u64 = 1 << 32;
        (self.below(STEPS) as f64) < share * STEPS as f64
    }

    /// One of the choices.
    ///
    /// # Panics
    /// On an empty slice.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Text that neither pglz nor lz4 makes shorter, so that PostgreSQL stores it out of line (TOAST).
    pub fn incompressible(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~";
        (0..length).map(|_| char::from(LETTERS[(self.next() >> 58) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let take = |seed, stream| {
            let mut random = Random::new(seed, stream);
            (0..8).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(take(1, 2), take(1, 2));
        assert_ne!(take(1, 2), take(1, 3));
        assert_ne!(take(1, 2), take(2, 2));
    }

    #[test]
    fn chances_are_about_what_they_say() {
        let mut random = Random::new(7, 0);
        let hits = (0..100_000).filter(|_| random.chance(0.1)).count();
        assert!((9_000..11_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !random.chance(0.0) && random.chance(1.0)));
    }
}
