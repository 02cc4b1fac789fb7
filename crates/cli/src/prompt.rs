//! Questions to a person who sits at the terminal, and input that is read whole. Questions go to standard error, so that
//! standard output stays clean.

use std::io::{self, BufRead, Read};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use types::Failure;

use crate::{
    error::{internal, user},
    output::{self, Output},
};

/// Ctrl-C, Ctrl-D, Ctrl-U and the two backspaces, as a terminal sends them.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const CLEAR: u8 = 21;
const BACKSPACES: [u8; 2] = [8, 127];

/// Asks for a line. An empty line takes the default.
pub fn ask(question: &str, default: Option<&str>) -> Result<String, Failure> {
    let suffix = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    Output::new(false).ask(&format!("{question}{suffix}: "));
    let mut line = String::new();
    let length = io::stdin().lock().take(64 << 10).read_line(&mut line).map_err(unreadable)?;
    if length == 0 {
        return Err(left());
    }
    let line = line.trim();
    Ok(if line.is_empty() { default.unwrap_or_default().to_owned() } else { line.to_owned() })
}

/// Asks until the answer fits. `check` says what is wrong.
pub fn ask_until<T>(
    question: &str,
    default: Option<&str>,
    check: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    loop {
        match check(&ask(question, default)?) {
            Ok(value) => return Ok(value),
            Err(why) => output::error(&why),
        }
    }
}

/// Asks yes or no.
pub fn confirm(question: &str, default: bool) -> Result<bool, Failure> {
    ask_until(question, Some(if default { "y" } else { "n" }), |answer| match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("answer y or n".to_owned()),
    })
}

/// Asks for a secret, which is not shown while it is typed.
pub fn ask_secret(question: &str) -> Result<Vec<u8>, Failure> {
    Output::new(false).ask(&format!("{question} (not shown): "));
    let silence = Silence::start().map_err(unreadable)?;
    let secret = read_silently(&mut io::stdin().lock());
    drop(silence);
    output::error("");
    secret
}

/// Reads standard input whole, at most `limit` bytes; `hint` says what to do with more.
pub fn read_all(limit: u64, what: &str, hint: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(user(format!("{what} is larger than {} KiB", limit >> 10), hint));
    }
    Ok(bytes)
}

/// Reads one line of standard input, byte by byte so that the next line is left for whoever comes next.
pub fn read_line(limit: usize) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte.map_err(unreadable)? {
            b'\n' => break,
            byte => line.push(byte),
        }
        if line.len() > limit {
            return Err(user(format!("a line of standard input is larger than {} KiB", limit >> 10), "give one value"));
        }
    }
    Ok(line)
}

fn read_silently(input: &mut impl BufRead) -> Result<Vec<u8>, Failure> {
    let mut secret = Vec::new();
    for byte in input.bytes().take(64 << 10) {
        match byte.map_err(unreadable)? {
            b'\r' | b'\n' => return Ok(secret),
            INTERRUPT => return Err(left()),
            END if secret.is_empty() => return Err(left()),
            END => return Ok(secret),
            CLEAR => secret.clear(),
            byte if BACKSPACES.contains(&byte) => {
                secret.pop();
            }
            byte => secret.push(byte),
        }
    }
    Ok(secret)
}

/// A terminal that shows nothing of what is typed. Ctrl-C arrives as a byte, so that it cannot end the program before
/// the terminal is put back.
struct Silence {
    before: Termios,
}

impl Silence {
    fn start() -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut silent = before.clone();
        silent.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that is gone.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &self.before);
    }
}

fn unreadable(error: io::Error) -> Failure {
    internal(format!("standard input cannot be read: {error}"))
}

fn left() -> Failure {
    user("the question was not answered", "nothing was changed; start again when you like")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_typed_secret_can_be_corrected() {
        let read = |typed: &[u8]| read_silently(&mut &typed[..]);
        assert_eq!(read(b"key\r").unwrap(), b"key");
        assert_eq!(read(b"kex\x7fy\n").unwrap(), b"key");
        assert_eq!(read(b"wrong\x15key\n").unwrap(), b"key");
        assert_eq!(read(b"\x7fkey").unwrap(), b"key");
        assert!(read(b"key\x03").is_err());
        assert!(read(b"\x04").is_err());
    }
}
