// SPDX-License-Identifier: MIT
//! A line of the log. Made by hand: the formatting machinery of `core` would be a third of the module.
#![forbid(unsafe_code)]

use core::ffi::CStr;

/// A line of the log while it is written. What does not fit is cut.
pub struct Line {
    bytes: [u8; Line::SIZE],
    length: usize,
}

impl Line {
    /// Bytes, with the NUL at the end. The longest message with the longest name fits.
    const SIZE: usize = 1024;
    /// Bytes of an [`escaped`](Line::escaped) text that are shown.
    const SHOWN: usize = 64;

    /// An empty line.
    pub fn new() -> Line {
        Line { bytes: [0; Line::SIZE], length: 0 }
    }

    /// Adds `text` as it is.
    pub fn text(&mut self, text: &str) -> &mut Line {
        text.bytes().fold(self, Line::byte)
    }

    /// Adds `number` in decimal digits. Not of 64 bits: on 32-bit, to divide those is a function of the compiler's library.
    pub fn number(&mut self, number: u32) -> &mut Line {
        if number >= 10 {
            self.number(number / 10);
        }
        self.digit(number % 10)
    }

    /// Adds text that somebody else chose, in quotes and fit for one line: printable ASCII stays, every other byte, the
    /// quote and the backslash become `\xNN`, and what is too long is cut.
    pub fn escaped(&mut self, text: &CStr) -> &mut Line {
        let bytes = text.to_bytes();
        self.byte(b'"');
        for &byte in bytes.iter().take(Line::SHOWN) {
            match byte {
                b'"' | b'\\' | ..b' ' | 0x7f.. => {
                    self.text("\\x").digit(u32::from(byte >> 4)).digit(u32::from(byte & 15))
                }
                _ => self.byte(byte),
            };
        }
        self.text(if bytes.len() > Line::SHOWN { "...\"" } else { "\"" })
    }

    /// The line so far.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    /// Adds a digit, of a base up to 16.
    fn digit(&mut self, value: u32) -> &mut Line {
        self.byte((value as u8).wrapping_add(if value < 10 { b'0' } else { b'a' - 10 }))
    }

    fn byte(&mut self, byte: u8) -> &mut Line {
        // The last byte stays the NUL.
        if let Some(place) = self.bytes[..Line::SIZE - 1].get_mut(self.length) {
            *place = byte;
            self.length = self.length.wrapping_add(1);
        }
        self
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What the log would get.
    pub fn shown(line: &Line) -> &str {
        line.as_c_str().to_str().expect("ASCII")
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 9, 10, 100, i32::MAX as u32, u32::MAX] {
            assert_eq!(shown(Line::new().number(number)), number.to_string());
        }
    }

    #[test]
    fn every_byte_is_escaped_or_printable_ascii() {
        for byte in 1..=255_u8 {
            let text = [byte, 0];
            let text = CStr::from_bytes_with_nul(&text).expect("one NUL");
            let printable = (byte.is_ascii_graphic() || byte == b' ') && byte != b'"' && byte != b'\\';
            let expected = if printable { format!("\"{}\"", byte as char) } else { format!("\"\\x{byte:02x}\"") };
            assert_eq!(shown(Line::new().escaped(text)), expected);
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        for (length, expected) in [(64, "\""), (65, "...\""), (9000, "...\"")] {
            let text = std::ffi::CString::new("x".repeat(length)).expect("no NUL");
            assert_eq!(shown(Line::new().escaped(&text)), format!("\"{}{expected}", "x".repeat(64)));
        }
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let mut line = Line::new();
        (0..1000).for_each(|_| _ = line.text("ten bytes."));
        assert_eq!(shown(&line).len(), Line::SIZE - 1);
    }
}
