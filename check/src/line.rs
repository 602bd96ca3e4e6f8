// SPDX-License-Identifier: MIT
//! The lines of a configuration file, put together and cut into words as libpam does it, pam.conf(5).

/// What up to 1.5.2 libpam reads at a time: of a longer line it takes the rest for a further line.
const CHUNK: usize = 1023;

/// A line without its comment, and with those that continue it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Where it begins: the first line of a file is 1.
    pub number: usize,
    /// What is left of it, with its newline: an open bracket takes that in. libpam takes bytes, of whatever encoding.
    pub text: Vec<u8>,
}

/// What is wrong with the lines as such.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// In which line.
    pub number: usize,
    /// What it is.
    pub kind: FaultKind,
}

/// See [`Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The file ends after a backslash. libpam refuses all of it.
    Unfinished,
    /// libpam 1.5 reads the end of it as a line of its own.
    Long,
    /// A comment or an empty line after a backslash: libpam 1.5 goes on with what follows, 1.7 ends the line there.
    Interrupted,
}

/// The lines of a file with something in them, as libpam 1.7 reads them, and what is wrong with them.
pub fn lines(bytes: &[u8]) -> (Vec<Line>, Vec<Fault>) {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    let mut begun: Option<Line> = None;
    for (index, piece) in pieces(bytes).enumerate() {
        let number = index + 1;
        if piece.len() + begun.as_ref().map_or(0, |line| line.text.len()) > CHUNK {
            faults.push(Fault { number, kind: FaultKind::Long });
        }
        let piece = trim_start(until(piece, 0));
        let text = until(piece, b'#');
        if text.is_empty() {
            if let Some(line) = begun.take() {
                faults.push(Fault { number, kind: FaultKind::Interrupted });
                if !trim_start(&line.text).is_empty() {
                    lines.push(line);
                }
            }
            continue;
        }
        let mut line = begun.take().unwrap_or(Line { number, text: Vec::new() });
        match trim_end(text).split_last() {
            Some((b'\\', before)) if text.len() == piece.len() => {
                line.text.extend_from_slice(before);
                line.text.push(b' ');
                begun = Some(line);
            }
            _ => {
                line.text.extend_from_slice(text);
                lines.push(line);
            }
        }
    }
    if let Some(line) = begun {
        faults.push(Fault { number: line.number, kind: FaultKind::Unfinished });
    }
    (lines, faults)
}

/// The file line by line, with their newlines; after the last one there is none.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

/// What is before the first `end`.
fn until(text: &[u8], end: u8) -> &[u8] {
    text.split(|byte| *byte == end).next().unwrap_or_default()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

fn trim_start(text: &[u8]) -> &[u8] {
    text.iter().position(|byte| !is_blank(*byte)).and_then(|first| text.get(first..)).unwrap_or_default()
}

fn trim_end(text: &[u8]) -> &[u8] {
    text.iter().rposition(|byte| !is_blank(*byte)).and_then(|last| text.get(..=last)).unwrap_or_default()
}

/// The words of a line. What stands in brackets is one, `\]` in it a bracket, and the next begins right behind it.
#[derive(Clone, Debug)]
pub struct Words<'a>(pub &'a [u8]);

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let text = trim_start(self.0);
        let (word, rest) = match text.split_first()? {
            (b'[', inside) => bracketed(inside),
            _ => {
                let end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
                let (word, rest) = text.split_at(end);
                (word.to_vec(), rest.get(1..).unwrap_or_default())
            }
        };
        self.0 = rest;
        Some(String::from_utf8_lossy(&word).into_owned())
    }
}

/// What is in brackets, behind the first, and what follows them.
fn bracketed(inside: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    let mut rest = inside;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b']', _) => break,
            (b'\\', Some(b']')) => {
                word.push(b']');
                rest = after.get(1..).unwrap_or_default();
            }
            _ => word.push(*byte),
        }
    }
    (word, rest)
}

/// The one of these words that this one was meant to be, with a letter or two mistaken.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let nearest = known.iter().map(|known| (distance(word, known), *known)).min();
    nearest.filter(|(distance, _)| *distance <= 2).map(|(_, known)| known)
}

/// How many letters have to be changed, put in or left out, whatever their case.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().take(40).enumerate() {
        let mut next = vec![index + 1];
        for (left, (above, expected)) in row.windows(2).zip(&other).enumerate() {
            let [diagonal, above] = above else { continue };
            let changed = diagonal + usize::from(!letter.eq_ignore_ascii_case(expected));
            let put_in = next.get(left).copied().unwrap_or_default() + 1;
            next.push(changed.min(put_in).min(above + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<(usize, String)> {
        let (lines, _) = lines(file.as_bytes());
        lines.into_iter().map(|line| (line.number, String::from_utf8(line.text).expect("UTF-8"))).collect()
    }

    #[test]
    fn lines_are_continued_and_comments_left_out() {
        let expected = [(2, "a b c\n"), (4, "d "), (5, "e")].map(|(number, text)| (number, text.to_owned()));
        assert_eq!(texts("# one\n a b\\\n  c\nd # \\\ne"), expected);
    }

    #[test]
    fn a_backslash_and_nothing_is_no_line() {
        let faults = |number| vec![Fault { number, kind: FaultKind::Interrupted }];
        assert_eq!(lines(b"\\\n \t "), (Vec::new(), faults(2)));
        assert_eq!(lines(b"\\\n# comment\n"), (Vec::new(), faults(2)));
        assert_eq!(lines(b"one \\\n\n").0.len(), 1);
    }

    #[test]
    fn a_file_that_ends_in_a_backslash_is_told_of() {
        let (found, faults) = lines(b"a\nb \\\n");
        assert_eq!(found.len(), 1);
        assert_eq!(faults, [Fault { number: 2, kind: FaultKind::Unfinished }]);
    }

    #[test]
    fn words_in_brackets_are_one() {
        let words: Vec<_> = Words(b"a [b c]d [e\\]f] [] [g").collect();
        assert_eq!(words, ["a", "b c", "d", "e]f", "", "g"]);
    }
}
