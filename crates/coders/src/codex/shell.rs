//! The script within `/bin/bash -lc '…'`, as Codex shows commands.

/// Shells that Codex wraps a script into, and the flags it gives them.
const SHELLS: [&str; 3] = ["bash", "zsh", "sh"];
const FLAGS: [&str; 2] = ["-lc", "-c"];

/// The script, where the command is a shell with one script; the whole command otherwise.
pub(super) fn script(command: &str) -> String {
    inner(command).unwrap_or_else(|| command.to_owned())
}

fn inner(command: &str) -> Option<String> {
    let mut parts = command.splitn(3, ' ');
    let shell = parts.next()?.rsplit('/').next()?;
    let flag = parts.next()?;
    if !SHELLS.contains(&shell) || !FLAGS.contains(&flag) {
        return None;
    }
    one_word(parts.next()?)
}

/// What one word of a POSIX shell stands for; none if it is not exactly one, or one that the shell would expand.
fn one_word(text: &str) -> Option<String> {
    let mut word = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' => loop {
                match rest.next()? {
                    '\'' => break,
                    c => word.push(c),
                }
            },
            '"' => loop {
                match rest.next()? {
                    '"' => break,
                    '\\' => match rest.next()? {
                        c @ ('"' | '\\' | '$' | '`') => word.push(c),
                        '\n' => {}
                        c => word.extend(['\\', c]),
                    },
                    '$' | '`' => return None,
                    c => word.push(c),
                }
            },
            '\\' => word.push(rest.next()?),
            c if c.is_whitespace() || "$`;&|<>()*?[]{}~#!".contains(c) => return None,
            c => word.push(c),
        }
    }
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::script;

    #[test]
    fn a_script_is_taken_out_of_its_shell_and_only_when_it_is_all() {
        let table = [
            ("/bin/bash -lc 'echo hi > x; ls'", "echo hi > x; ls"),
            ("bash -c ls", "ls"),
            (r#"/bin/bash -c 'it'"'"'s'"#, "it's"),
            (r#"/bin/bash -c "a \"b\" \$c""#, r#"a "b" $c"#),
            // More than the script would run: it is shown whole.
            ("/bin/bash -c 'ls' x", "/bin/bash -c 'ls' x"),
            ("/bin/bash -c ls;rm", "/bin/bash -c ls;rm"),
            ("/bin/bash -c \"$x\"", "/bin/bash -c \"$x\""),
            ("/bin/bash -c 'ls", "/bin/bash -c 'ls"),
            ("/bin/bash -x 'ls'", "/bin/bash -x 'ls'"),
            ("git commit -m x", "git commit -m x"),
            ("bash -c", "bash -c"),
            ("", ""),
        ];
        for (command, expected) in table {
            assert_eq!(script(command), expected, "{command}");
        }
    }
}
