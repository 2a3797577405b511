//! Bit streams, Rice codes and varints: the alphabet of the frame bodies. Knows no frames.
//!
//! Bits fill each byte from its highest bit down; the last byte is padded with zero bits.

/// Ones after which a Rice code gives up its quotient and sends the value in 32 bits.
pub const RICE_ESCAPE: u32 = 20;
/// Largest Rice parameter that a frame may carry.
pub const RICE_K_MAX: u8 = 24;

/// Maps a signed number to an unsigned one with small magnitudes first: 0, -1, 1, -2, …
#[must_use]
pub const fn zigzag(value: i32) -> u32 {
    (value.cast_unsigned() << 1) ^ (value >> 31).cast_unsigned()
}

/// Undoes [`zigzag`].
#[must_use]
pub const fn unzigzag(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ (value & 1).wrapping_neg().cast_signed()
}

/// Gives the bits that [`BitWriter::rice`] spends on `value`.
#[must_use]
pub const fn rice_bits(value: u32, k: u8) -> u32 {
    let quotient = value >> k;
    if quotient < RICE_ESCAPE { quotient + 1 + k as u32 } else { RICE_ESCAPE + 32 }
}

/// Appends `value` as base-128 groups, lowest first; the high bit says that more follow. At most 5 bytes.
pub fn write_varint(mut value: u32, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads varints from a slice, one after the other.
#[derive(Debug)]
pub struct VarintReader<'a> {
    rest: &'a [u8],
}

impl<'a> VarintReader<'a> {
    /// Starts at the first byte of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Gives the next number; `None` when the bytes end, or the number does not fit 32 bits.
    pub fn next_u32(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in [0_u32, 7, 14, 21, 28] {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if shift == 28 && byte > 0x0f {
                return None;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Gives the next number, unzigzagged.
    pub fn next_i32(&mut self) -> Option<i32> {
        self.next_u32().map(unzigzag)
    }

    /// Tells whether every byte was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Appends bits to a byte vector.
#[derive(Debug)]
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    filled: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts behind what `out` holds.
    #[must_use]
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, filled: 0 }
    }

    /// Appends the low `n` bits of `value`, highest first; `n` is 0–32 and `value < 2^n`.
    #[inline]
    pub fn put(&mut self, value: u32, n: u32) {
        self.pending = (self.pending << n) | u64::from(value);
        self.filled += n;
        if self.filled >= 32 {
            self.filled -= 32;
            let word = self.pending >> self.filled;
            let [b0, b1, b2, b3, ..] = word.to_le_bytes();
            self.out.extend_from_slice(&[b3, b2, b1, b0]);
        }
    }

    /// Appends `value` as a Rice code: quotient in ones, a zero, `k` low bits; a large quotient escapes to 32 bits.
    #[inline]
    pub fn rice(&mut self, value: u32, k: u8) {
        let quotient = value >> k;
        if quotient < RICE_ESCAPE {
            self.put((1 << (quotient + 1)) - 2, quotient + 1);
            self.put(value & ((1 << k) - 1), u32::from(k));
        } else {
            self.put((1 << RICE_ESCAPE) - 1, RICE_ESCAPE);
            self.put(value, 32);
        }
    }

    /// Pads the last byte with zeros and ends.
    pub fn finish(self) {
        let bytes = self.filled.div_ceil(8);
        let word = self.pending << (bytes * 8 - self.filled);
        for at in (0..bytes).rev() {
            let [low, ..] = (word >> (at * 8)).to_le_bytes();
            self.out.push(low);
        }
    }
}

/// Reads bits from a slice. Behind the end it reads zeros and remembers that it did.
#[derive(Debug)]
pub struct BitReader<'a> {
    rest: &'a [u8],
    /// The next bits, left-aligned; everything below the held ones is zero.
    held: u64,
    count: u32,
    /// Bits asked for that were not there.
    missing: bool,
}

impl<'a> BitReader<'a> {
    /// Starts at the highest bit of the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, held: 0, count: 0, missing: false }
    }

    #[inline]
    fn refill(&mut self) {
        if let Some((word, rest)) = self.rest.split_first_chunk::<4>() {
            if self.count <= 32 {
                self.held |= u64::from(u32::from_be_bytes(*word)) << (32 - self.count);
                self.count += 32;
                self.rest = rest;
            }
            return;
        }
        while self.count <= 56 {
            let Some((&byte, rest)) = self.rest.split_first() else { return };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.rest = rest;
        }
    }

    #[inline]
    fn skip(&mut self, n: u32) {
        self.missing |= n > self.count;
        self.count = self.count.saturating_sub(n);
        self.held <<= n;
    }

    /// Gives the next `n` bits, 0–32, as a number.
    #[inline]
    pub fn take(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        if self.count < n {
            self.refill();
        }
        let high = u32::try_from(self.held >> 32).unwrap_or(0);
        self.skip(n);
        high >> (32 - n)
    }

    /// Gives the next Rice code with parameter `k`.
    #[inline]
    pub fn rice(&mut self, k: u8) -> u32 {
        if self.count < 32 {
            self.refill();
        }
        let ones = self.held.leading_ones();
        if ones >= RICE_ESCAPE {
            self.skip(RICE_ESCAPE);
            return self.take(32);
        }
        self.skip(ones + 1);
        (ones << k) | self.take(u32::from(k))
    }

    /// Tells whether the codes ended exactly in the last byte, with nothing but zero bits behind them.
    #[must_use]
    pub fn ended_well(&mut self) -> bool {
        self.refill();
        !self.missing && self.rest.is_empty() && self.count < 8 && self.held == 0
    }

    /// Tells whether more bits were asked for than there were.
    #[must_use]
    pub const fn ran_out(&self) -> bool {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_have_the_documented_bits() {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        writer.rice(0, 0); // 0
        writer.rice(5, 1); // 110 1
        writer.rice(2, 0); // 110
        writer.finish();
        assert_eq!(out, [0b0110_1110]);
        let mut varint = Vec::new();
        write_varint(300, &mut varint);
        assert_eq!(varint, [0xac, 0x02]);
        assert_eq!([0, -1, 1, -2, i32::MIN].map(zigzag), [0, 1, 2, 3, u32::MAX]);
    }

    #[test]
    fn a_reader_behind_the_end_says_so() {
        let mut reader = BitReader::new(&[0xff]);
        assert_eq!(reader.take(8), 0xff);
        assert!(!reader.ran_out());
        assert_eq!(reader.take(1), 0);
        assert!(reader.ran_out());
        let mut padded = BitReader::new(&[0x80, 0]);
        assert_eq!(padded.take(1), 1);
        assert!(!padded.ended_well(), "a whole byte of padding is one too many");
        assert!(VarintReader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).next_u32().is_none());
    }

    proptest! {
        #[test]
        fn rice_round_trips(values in prop::collection::vec((any::<u32>(), 0_u32..32, 0..=RICE_K_MAX), 0..300)) {
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            let mut bits = 0;
            for &(value, shift, k) in &values {
                writer.rice(value >> shift, k);
                bits += rice_bits(value >> shift, k);
            }
            writer.finish();
            prop_assert_eq!(out.len(), usize::try_from(bits.div_ceil(8)).unwrap());
            let mut reader = BitReader::new(&out);
            for &(value, shift, k) in &values {
                prop_assert_eq!(reader.rice(k), value >> shift);
            }
            prop_assert!(reader.ended_well());
        }

        #[test]
        fn varints_and_zigzag_round_trip(values in prop::collection::vec(any::<i32>(), 0..100)) {
            let mut out = Vec::new();
            for &value in &values {
                write_varint(zigzag(value), &mut out);
            }
            let mut reader = VarintReader::new(&out);
            for &value in &values {
                prop_assert_eq!(reader.next_i32(), Some(value));
            }
            prop_assert!(reader.is_empty());
        }
    }
}
