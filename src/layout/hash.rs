//! Seeded hashing: the only source of "chance" in the layout. Not for security.

/// A stream of numbers that depends on nothing but its seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    /// Mixes a swarm's seed with one more number, such as a slot.
    pub(crate) fn new(seed: u128, salt: u64) -> Self {
        let folded = u64::try_from(seed & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(seed >> 64).unwrap_or(0);
        let mut stream = Self(folded ^ high.rotate_left(32) ^ salt.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        // The first output of neighbouring seeds still looks alike; the second does not.
        stream.next_u64();
        stream
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in 0 ≤ value < 1, with 16 bits: plenty for a jitter, and exact in f32.
    pub(crate) fn unit(&mut self) -> f32 {
        let bits = u16::try_from(self.next_u64() >> 48).unwrap_or(0);
        f32::from(bits) / 65536.0
    }

    /// A direction, uniform on the unit sphere.
    pub(crate) fn direction(&mut self) -> [f32; 3] {
        let z = self.unit().mul_add(2.0, -1.0);
        let angle = self.unit() * std::f32::consts::TAU;
        let r = (1.0 - z * z).max(0.0).sqrt();
        [r * angle.cos(), r * angle.sin(), z]
    }
}
