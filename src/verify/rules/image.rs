//! The size of an image, from its header alone: the pixels are never decoded.

use super::Format;
use crate::verify::verdict::Verdict;

/// Bytes of a file that are kept to find the size in: a JPEG may begin with a large preview.
const KEPT: usize = 1 << 18;

/// The beginning of a file.
#[derive(Default)]
pub(super) struct Header {
    kept: Vec<u8>,
    /// More came than was kept.
    cut: bool,
}

impl Header {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.cut |= bytes.len() > room;
    }

    /// Width and height in pixels, if it is an image of this kind.
    pub(super) fn size(&self, format: Option<Format>) -> Result<(u64, u64), Verdict> {
        let is = |of: Format| matches!(format, Some(Format::Image)) || format == Some(of);
        let bytes = self.kept.as_slice();
        let (name, found) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") && is(Format::Png) {
            ("PNG", png(bytes))
        } else if (bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a")) && is(Format::Gif)
        {
            ("GIF", gif(bytes))
        } else if bytes.starts_with(&[0xff, 0xd8]) && is(Format::Jpeg) {
            ("JPEG", jpeg(bytes))
        } else {
            let kind = match format {
                Some(Format::Png) => "a PNG",
                Some(Format::Gif) => "a GIF",
                Some(Format::Jpeg) => "a JPEG",
                _ => "a PNG, a JPEG or a GIF",
            };
            return Err(Verdict::fail_at("byte 0", format!("this is not {kind}")));
        };
        match found {
            Some((width, height)) if width > 0 && height > 0 => Ok((width, height)),
            None if self.cut => Err(Verdict::none(format!(
                "the size is not in the first {KEPT} bytes of the {name}"
            ))),
            _ => Err(Verdict::fail(format!("the header of the {name} is broken"))),
        }
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u64> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(four.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn be16(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(*bytes.get(at)?) << 8 | u64::from(*bytes.get(at + 1)?))
}

/// The first chunk is IHDR (PNG 11.2.2), width and height first in it.
fn png(bytes: &[u8]) -> Option<(u64, u64)> {
    if be32(bytes, 8)? != 13 || bytes.get(12..16)? != b"IHDR" {
        return None;
    }
    Some((be32(bytes, 16)?, be32(bytes, 20)?))
}

/// The logical screen (GIF89a, section 18), little-endian.
fn gif(bytes: &[u8]) -> Option<(u64, u64)> {
    let le16 = |at: usize| be16(bytes, at).map(|n| (n & 0xff) << 8 | n >> 8);
    Some((le16(6)?, le16(8)?))
}

/// The first frame header (ITU T.81, B.2.2): segments are walked, none is looked into.
fn jpeg(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        let mut marker = *bytes.get(at + 1)?;
        // A marker may be filled up with any number of 0xff.
        while marker == 0xff {
            at += 1;
            marker = *bytes.get(at + 1)?;
        }
        match marker {
            // SOF0 to SOF15, without DHT, JPG and DAC.
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => {
                return Some((be16(bytes, at + 7)?, be16(bytes, at + 5)?));
            }
            // Markers that stand alone.
            0x01 | 0xd0..=0xd7 => at += 2,
            // The end, or the picture itself, without a frame before it.
            0x00 | 0xd8..=0xda => return None,
            _ => {
                let len = usize::try_from(be16(bytes, at + 2)?).ok()?;
                if len < 2 {
                    return None;
                }
                at += 2 + len;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(bytes: &[u8], format: Format) -> Result<(u64, u64), Verdict> {
        let mut header = Header::default();
        header.feed(bytes);
        header.size(Some(format))
    }

    fn a_png() -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend(640u32.to_be_bytes());
        png.extend(480u32.to_be_bytes());
        png
    }

    fn a_jpeg() -> Vec<u8> {
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc4, 0, 2];
        jpeg.extend([0xff, 0xc2, 0, 17, 8, 1, 0x2c, 1, 0x90]);
        jpeg
    }

    #[test]
    fn sizes_are_read_from_headers() {
        assert_eq!(size(&a_png(), Format::Png), Ok((640, 480)));
        assert_eq!(size(b"GIF89a\x0a\x00\x14\x01", Format::Image), Ok((10, 276)));
        assert_eq!(size(&a_jpeg(), Format::Jpeg), Ok((400, 300)));
    }

    #[test]
    fn another_kind_a_broken_header_and_no_pixels_fail() {
        assert!(size(&a_png(), Format::Gif).unwrap_err().is_fail());
        assert!(size(b"", Format::Image).unwrap_err().is_fail());
        for cut in 8..24 {
            assert!(size(&a_png()[..cut], Format::Png).unwrap_err().is_fail(), "{cut}");
        }
        for cut in 2..21 {
            assert!(size(&a_jpeg()[..cut], Format::Jpeg).unwrap_err().is_fail(), "{cut}");
        }
        let mut flat = a_png();
        flat[16..20].fill(0);
        assert!(size(&flat, Format::Png).unwrap_err().is_fail());
        // Segments that overlap or go nowhere end the walk.
        assert!(size(&[0xff, 0xd8, 0xff, 0xe0, 0, 0, 0xff], Format::Jpeg).unwrap_err().is_fail());
        assert!(size(&[0xff, 0xd8, 0xff, 0xff, 0xff], Format::Jpeg).unwrap_err().is_fail());
    }

    #[test]
    fn a_size_too_far_inside_is_no_verdict() {
        let mut far = vec![0xff, 0xd8];
        for _ in 0..5 {
            far.extend([0xff, 0xe1, 0xff, 0xff]);
            far.extend(vec![0; 65_533]);
        }
        far.extend(&a_jpeg()[2..]);
        assert!(matches!(size(&far, Format::Jpeg), Err(Verdict::None { .. })));
    }
}
