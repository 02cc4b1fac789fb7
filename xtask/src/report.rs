//! What is told to whoever runs this: lines on standard error, so that the output of the tools stays apart.

use std::io::Write;

/// One line.
pub fn line(text: &str) {
    // When standard error is closed, nobody is left to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
