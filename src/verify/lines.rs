//! Lines of a stream, one at a time, none longer than is held.

/// The longest line that is looked at, in bytes.
pub(super) const MAX_LINE: usize = 1 << 20;

/// A line was longer than [`MAX_LINE`].
pub(super) struct TooLong;

/// Splits what is fed into lines at `\n`, without it and without a `\r` before it.
#[derive(Default)]
pub(super) struct Lines {
    held: Vec<u8>,
    /// Lines handed out.
    pub(super) count: u64,
}

impl Lines {
    /// Hands every line that is complete now to `take`, which stops it by saying false.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        take: &mut impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<bool, TooLong> {
        while let Some(at) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(at);
            if self.held.len() + line.len() > MAX_LINE {
                return Err(TooLong);
            }
            let go_on = if self.held.is_empty() {
                self.hand_out(line, take)
            } else {
                let mut held = std::mem::take(&mut self.held);
                held.extend_from_slice(line);
                let go_on = self.hand_out(&held, take);
                held.clear();
                self.held = held;
                go_on
            };
            if !go_on {
                return Ok(false);
            }
            bytes = &rest[1..];
        }
        if self.held.len() + bytes.len() > MAX_LINE {
            return Err(TooLong);
        }
        self.held.extend_from_slice(bytes);
        Ok(true)
    }

    /// Hands out the last line, if it did not end.
    pub(super) fn end(&mut self, take: &mut impl FnMut(u64, &[u8]) -> bool) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.hand_out(&held, take);
        }
    }

    fn hand_out(&mut self, line: &[u8], take: &mut impl FnMut(u64, &[u8]) -> bool) -> bool {
        self.count += 1;
        take(self.count, line.strip_suffix(b"\r").unwrap_or(line))
    }
}
