//! QR codes (ISO/IEC 18004), error correction level L: what a phone scans from a screen is never dirty.
//!
//! Versions 1 to 20; what does not fit in those fits on no terminal either.

/// A square of modules; `true` is dark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qr {
    size: usize,
    dark: Vec<bool>,
    /// Modules that carry no data: finders, timing, alignment, format, version.
    fixed: Vec<bool>,
}

/// Error-correction bytes of each block, by version from 1.
const CHECK: [usize; 20] =
    [7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28];
/// Blocks, by version from 1.
const BLOCKS: [usize; 20] = [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8];
const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

impl Qr {
    /// The smallest code for a text; `None` if it is too long. Upper-case text takes less room.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let version = (1..=20).find(|v| bits(text, *v) <= data_bytes(*v) * 8)?;
        let data = encode(text, version);
        let size = version * 4 + 17;
        let mut code =
            Self { size, dark: vec![false; size * size], fixed: vec![false; size * size] };
        code.draw_fixed(version);
        code.draw_data(&with_check(&data, version));
        // The mask whose pattern is the least confusing.
        let masked = (0..8).map(|mask| {
            let mut one = code.clone();
            one.mask(mask);
            one.draw_format(mask);
            one
        });
        masked.min_by_key(Self::penalty)
    }

    /// Modules on each side.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Whether a module is dark; outside it is light.
    pub(crate) fn dark(&self, x: isize, y: isize) -> bool {
        let inside = |n: isize| usize::try_from(n).ok().filter(|n| *n < self.size);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.dark[y * self.size + x],
            _ => false,
        }
    }

    fn fix(&mut self, x: usize, y: usize, dark: bool) {
        self.dark[y * self.size + x] = dark;
        self.fixed[y * self.size + x] = true;
    }

    fn draw_fixed(&mut self, version: usize) {
        let far = self.size - 7;
        for n in 0..self.size {
            self.fix(6, n, n % 2 == 0);
            self.fix(n, 6, n % 2 == 0);
        }
        for (left, top) in [(0, 0), (far, 0), (0, far)] {
            // The finder and the light line around it.
            for y in 0..9usize {
                for x in 0..9usize {
                    let (px, py) = ((left + x).checked_sub(1), (top + y).checked_sub(1));
                    let (Some(px), Some(py)) = (px, py) else { continue };
                    if px < self.size && py < self.size {
                        let ring = x.abs_diff(4).max(y.abs_diff(4));
                        self.fix(px, py, ring != 2 && ring != 4);
                    }
                }
            }
        }
        let at = alignments(version);
        for (i, x) in at.iter().enumerate() {
            for (j, y) in at.iter().enumerate() {
                let last = at.len() - 1;
                if matches!((i, j), (0, 0)) || (i, j) == (0, last) || (i, j) == (last, 0) {
                    continue;
                }
                for dy in 0..5usize {
                    for dx in 0..5usize {
                        let ring = dx.abs_diff(2).max(dy.abs_diff(2));
                        self.fix(x + dx - 2, y + dy - 2, ring != 1);
                    }
                }
            }
        }
        self.draw_format(0);
        if version >= 7 {
            let rest = remainder(version << 12, 0x1f25, 12);
            let word = version << 12 | rest;
            for n in 0..18 {
                let (a, b) = (self.size - 11 + n % 3, n / 3);
                self.fix(a, b, word >> n & 1 == 1);
                self.fix(b, a, word >> n & 1 == 1);
            }
        }
    }

    /// Level L and the mask, twice, and the module that is always dark.
    fn draw_format(&mut self, mask: usize) {
        let data = 1 << 3 | mask;
        let word = (data << 10 | remainder(data << 10, 0x537, 10)) ^ 0x5412;
        let bit = |n: usize| word >> n & 1 == 1;
        for n in 0..6 {
            self.fix(8, n, bit(n));
        }
        self.fix(8, 7, bit(6));
        self.fix(8, 8, bit(7));
        self.fix(7, 8, bit(8));
        for n in 9..15 {
            self.fix(14 - n, 8, bit(n));
        }
        for n in 0..8 {
            self.fix(self.size - 1 - n, 8, bit(n));
        }
        for n in 8..15 {
            self.fix(8, self.size - 15 + n, bit(n));
        }
        self.fix(8, self.size - 8, true);
    }

    /// In columns of two from the right, up and down in turn, around what is fixed.
    fn draw_data(&mut self, bytes: &[u8]) {
        let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1 == 1));
        let mut right = self.size - 1;
        loop {
            let upward = (right + 1) & 2 == 0;
            for step in 0..self.size {
                let y = if upward { self.size - 1 - step } else { step };
                for x in [right, right - 1] {
                    if !self.fixed[y * self.size + x] {
                        self.dark[y * self.size + x] = bits.next().unwrap_or(false);
                    }
                }
            }
            match right {
                1 => return,
                // The timing column is skipped.
                8 => right = 5,
                _ => right -= 2,
            }
        }
    }

    fn mask(&mut self, mask: usize) {
        for y in 0..self.size {
            for x in 0..self.size {
                let flip = match mask {
                    0 => (x + y) % 2 == 0,
                    1 => y % 2 == 0,
                    2 => x % 3 == 0,
                    3 => (x + y) % 3 == 0,
                    4 => (x / 3 + y / 2) % 2 == 0,
                    5 => x * y % 2 + x * y % 3 == 0,
                    6 => (x * y % 2 + x * y % 3) % 2 == 0,
                    _ => ((x + y) % 2 + x * y % 3) % 2 == 0,
                };
                let at = y * self.size + x;
                self.dark[at] ^= flip && !self.fixed[at];
            }
        }
    }

    /// Long runs, blocks of one colour and too much of either colour count against a pattern.
    fn penalty(&self) -> usize {
        let at = |x: usize, y: usize| self.dark[y * self.size + x];
        let mut sum = 0;
        for a in 0..self.size {
            for across in [true, false] {
                let line = |b: usize| if across { at(b, a) } else { at(a, b) };
                let mut run = 1;
                for b in 1..=self.size {
                    if b < self.size && line(b) == line(b - 1) {
                        run += 1;
                    } else {
                        sum += if run >= 5 { run - 2 } else { 0 };
                        run = 1;
                    }
                }
            }
        }
        for y in 1..self.size {
            for x in 1..self.size {
                let one = at(x, y);
                if one == at(x - 1, y) && one == at(x, y - 1) && one == at(x - 1, y - 1) {
                    sum += 3;
                }
            }
        }
        let dark = self.dark.iter().filter(|dark| **dark).count() * 20;
        sum + dark.abs_diff(self.size * self.size * 10) / (self.size * self.size) * 10
    }
}

fn letters(text: &str) -> Option<Vec<usize>> {
    text.bytes().map(|byte| LETTERS.iter().position(|letter| *letter == byte)).collect()
}

/// Bits of the number that says how long the text is.
fn count_bits(text: &str, version: usize) -> usize {
    match (letters(text).is_some(), version) {
        (true, ..=9) => 9,
        (true, _) => 11,
        (false, ..=9) => 8,
        (false, _) => 16,
    }
}

fn bits(text: &str, version: usize) -> usize {
    let long = text.len();
    let payload = if letters(text).is_some() { long / 2 * 11 + long % 2 * 6 } else { long * 8 };
    4 + count_bits(text, version) + payload
}

/// Bytes that a version holds, check bytes included.
fn all_bytes(version: usize) -> usize {
    let mut modules = (16 * version + 128) * version + 64;
    if version >= 2 {
        let n = version / 7 + 2;
        modules -= (25 * n - 10) * n - 55;
    }
    if version >= 7 {
        modules -= 36;
    }
    modules / 8
}

fn data_bytes(version: usize) -> usize {
    all_bytes(version) - CHECK[version - 1] * BLOCKS[version - 1]
}

fn encode(text: &str, version: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut put =
        |value: usize, wide: usize| bits.extend((0..wide).rev().map(|n| value >> n & 1 == 1));
    let wide = count_bits(text, version);
    match letters(text) {
        Some(letters) => {
            put(2, 4);
            put(text.len(), wide);
            for two in letters.chunks(2) {
                match two {
                    [a, b] => put(a * 45 + b, 11),
                    rest => rest.iter().for_each(|a| put(*a, 6)),
                }
            }
        }
        None => {
            put(4, 4);
            put(text.len(), wide);
            text.bytes().for_each(|byte| put(byte.into(), 8));
        }
    }
    let whole = data_bytes(version);
    bits.resize((bits.len() + 4).min(whole * 8), false);
    bits.resize(bits.len().div_ceil(8) * 8, false);
    let byte = |bits: &[bool]| bits.iter().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit));
    let mut bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
    let padding = [0xec, 0x11].into_iter().cycle().take(whole - bytes.len());
    bytes.extend(padding);
    bytes
}

/// The data in blocks, interleaved, and the check bytes of each behind it.
fn with_check(data: &[u8], version: usize) -> Vec<u8> {
    let (blocks, check) = (BLOCKS[version - 1], CHECK[version - 1]);
    let whole = all_bytes(version);
    let short = whole / blocks - check;
    let long_ones = whole % blocks;
    let generator = generator(check);
    let mut rest = data;
    let mut parts = Vec::new();
    for n in 0..blocks {
        let (part, after) = rest.split_at(short + usize::from(n >= blocks - long_ones));
        rest = after;
        parts.push((part, divide(part, &generator)));
    }
    let columns = (0..=short).flat_map(|n| parts.iter().filter_map(move |(part, _)| part.get(n)));
    let checks = (0..check).flat_map(|n| parts.iter().filter_map(move |(_, c)| c.get(n)));
    columns.chain(checks).copied().collect()
}

/// In the field of 256 elements, modulo x^8 + x^4 + x^3 + x^2 + 1.
fn times(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |sum: u8, n| {
        let doubled = sum << 1 ^ if sum & 0x80 == 0 { 0 } else { 0x1d };
        doubled ^ if b >> n & 1 == 1 { a } else { 0 }
    })
}

/// The product of (x - 2^n) for n below `degree`, the highest coefficient, which is 1, left out.
fn generator(degree: usize) -> Vec<u8> {
    let mut poly = vec![0; degree];
    poly[degree - 1] = 1;
    let mut root = 1;
    for _ in 0..degree {
        for n in 0..degree {
            poly[n] = times(poly[n], root) ^ poly.get(n + 1).copied().unwrap_or(0);
        }
        root = times(root, 2);
    }
    poly
}

fn divide(data: &[u8], by: &[u8]) -> Vec<u8> {
    let mut rest = vec![0; by.len()];
    for byte in data {
        let factor = byte ^ rest.remove(0);
        rest.push(0);
        for (r, g) in rest.iter_mut().zip(by) {
            *r ^= times(*g, factor);
        }
    }
    rest
}

/// Of a polynomial over two elements, divided by one of this degree.
fn remainder(mut value: usize, by: usize, degree: usize) -> usize {
    for n in (0..8).rev() {
        if value >> (degree + n) & 1 == 1 {
            value ^= by << n;
        }
    }
    value
}

/// Centres of the alignment patterns on one axis.
fn alignments(version: usize) -> Vec<usize> {
    if version == 1 {
        return Vec::new();
    }
    let n = version / 7 + 2;
    let step = (version * 8 + n * 3 + 5) / (n * 4 - 4) * 2;
    let mut at: Vec<usize> = (0..n - 1).map(|i| version * 4 + 10 - i * step).collect();
    at.push(6);
    at.reverse();
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_the_least_room() {
        for (text, size) in [
            ("HELLO WORLD".to_owned(), 21),
            ("hello world".to_owned(), 21),
            ("A".repeat(47), 25),
            ("a".repeat(47), 29),
            ("A".repeat(395), 57),
            ("A".repeat(396), 61),
            ("A".repeat(1249), 97),
        ] {
            assert_eq!(Qr::of(&text).map(|code| code.size()), Some(size), "{}", text.len());
        }
        assert_eq!(Qr::of(&"A".repeat(1250)), None);
    }

    #[test]
    fn check_bytes_are_those_of_the_standard() {
        // ISO/IEC 18004, annex I: "01234567" as version 1-M has these data and check bytes.
        let data = [
            0x10, 0x20, 0x0c, 0x56, 0x61, 0x80, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11,
            0xec, 0x11,
        ];
        let check = [0xa5, 0x24, 0xd4, 0xc1, 0xed, 0x36, 0xc7, 0x87, 0x2c, 0x55];
        assert_eq!(divide(&data, &generator(10)), check);
    }

    #[test]
    fn format_bits_are_those_of_the_standard() {
        // ISO/IEC 18004, annex C: level L, mask 4 reads 110011000101111.
        let data = 1usize << 3 | 4;
        let word = (data << 10 | remainder(data << 10, 0x537, 10)) ^ 0x5412;
        assert_eq!(format!("{word:015b}"), "110011000101111");
    }
}
