//! Recognising commands that plainly destroy, so that the owner is asked before a slip. This is a courtesy and not a
//! boundary: a script can delete in a thousand ways that are not on this list. The boundary is the sandbox, and what
//! happens in the workspace is undone from the snapshot. Pure.

use crate::shell::commands;

/// Scripts inside scripts (`sh -c`, `eval`) are looked into this deep.
const MAX_DEPTH: usize = 4;

/// What a script would destroy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Danger {
    /// In words for the owner.
    pub what: &'static str,
    /// How many things, as far as the script names them; at least 1.
    pub count: u32,
}

/// The worst that is plain in `script`.
pub(crate) fn danger(script: &str) -> Option<Danger> {
    look(script, 0)
}

fn look(script: &str, depth: usize) -> Option<Danger> {
    let found = commands(script).into_iter().filter_map(|words| judge(&words, depth));
    found.max_by_key(|danger| danger.count)
}

fn judge(words: &[String], depth: usize) -> Option<Danger> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = unwrapped(&words);
    let (first, arguments) = words.split_first()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    let one = |what| Some(Danger { what, count: 1 });
    match name {
        "rm" if has_flag(arguments, &['r', 'R'], &["--recursive"]) => {
            let count = operands(arguments).count().clamp(1, 10_000);
            Some(Danger { what: "deletes directories with all that is in them", count: u32::try_from(count).ok()? })
        }
        "git" => git(arguments).and_then(one),
        "find" => find(arguments, depth),
        "shred" => one("overwrites files beyond recovery"),
        "truncate" => one("cuts files"),
        "dd" if arguments.iter().any(|word| word.starts_with("of=") && *word != "of=/dev/null") => {
            one("overwrites a file or device")
        }
        "chmod" | "chown" | "chgrp" if has_flag(arguments, &['R'], &["--recursive"]) => {
            one("changes modes or owners of whole directories")
        }
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" if depth < MAX_DEPTH => {
            look(shell_script(arguments)?, depth + 1)
        }
        "eval" if depth < MAX_DEPTH => look(&arguments.join(" "), depth + 1),
        name if name == "mkfs" || name.starts_with("mkfs.") => one("makes a new file system over what is there"),
        _ => None,
    }
}

/// What follows variable assignments, keywords and commands that run another.
fn unwrapped<'a, 'b>(mut words: &'b [&'a str]) -> &'b [&'a str] {
    loop {
        let Some((first, rest)) = words.split_first() else { return words };
        let name = first.rsplit('/').next().unwrap_or(first);
        words = match name {
            "{" | "!" | "then" | "do" | "else" | "elif" | "if" | "while" | "until" | "time" => rest,
            "command" | "builtin" | "exec" | "nohup" | "setsid" => skip_options(rest, &[]),
            "sudo" | "doas" => skip_options(rest, &["-u", "-g", "-h", "-p", "-C", "-T"]),
            "nice" => skip_options(rest, &["-n"]),
            "ionice" => skip_options(rest, &["-c", "-n", "-p"]),
            "stdbuf" => skip_options(rest, &["-i", "-o", "-e"]),
            "env" => skip_options(rest, &["-u", "-C", "-S"]),
            "xargs" => skip_options(rest, &["-n", "-L", "-P", "-I", "-i", "-d", "-a", "-s", "-E"]),
            // Its first operand is the time.
            "timeout" => skip_options(rest, &["-k", "-s"]).get(1..).unwrap_or_default(),
            _ if is_assignment(first) => rest,
            _ => return words,
        };
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
    })
}

/// Leaves out the options at the start; those in `with_value` take the next word with them.
fn skip_options<'a, 'b>(mut words: &'b [&'a str], with_value: &[&str]) -> &'b [&'a str] {
    while let Some((first, rest)) = words.split_first() {
        if *first == "--" {
            return rest;
        }
        if !first.starts_with('-') || first.len() < 2 {
            return words;
        }
        words = if with_value.contains(first) { rest.get(1..).unwrap_or_default() } else { rest };
    }
    words
}

/// Whether an option is given, alone or in a cluster such as `-rf`.
fn has_flag(arguments: &[&str], short: &[char], long: &[&str]) -> bool {
    arguments.iter().take_while(|word| **word != "--").any(|word| match word.strip_prefix('-') {
        Some(cluster) if !cluster.starts_with('-') => cluster.chars().any(|letter| short.contains(&letter)),
        Some(_) => long.contains(word),
        None => false,
    })
}

fn operands<'a>(arguments: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let mut only_operands = false;
    arguments.iter().copied().filter(move |word| {
        if *word == "--" && !only_operands {
            only_operands = true;
            return false;
        }
        only_operands || !word.starts_with('-')
    })
}

/// The script of `sh -c script`, also as `-lc` and after other options.
fn shell_script<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    let position = arguments.iter().position(|word| {
        word.strip_prefix('-').is_some_and(|cluster| !cluster.starts_with('-') && cluster.ends_with('c'))
    })?;
    arguments[position + 1..].iter().find(|word| !word.starts_with('-')).copied()
}

fn git(arguments: &[&str]) -> Option<&'static str> {
    let words = skip_options(arguments, &["-C", "-c", "--git-dir", "--work-tree", "--namespace"]);
    let (command, arguments) = words.split_first()?;
    let has = |short: &[char], long: &[&str]| has_flag(arguments, short, long);
    let has_start = |start: &str| arguments.iter().any(|word| word.starts_with(start));
    match *command {
        "push" if has(&['f', 'd'], &["--force", "--mirror", "--delete", "--prune"]) => {
            Some("overwrites a remote's branches")
        }
        "push" if has_start("--force-with-lease") => Some("overwrites a remote's branches"),
        "push" if operands(arguments).any(|word| word.starts_with(['+', ':'])) => {
            Some("overwrites a remote's branches")
        }
        "reset" if has(&[], &["--hard"]) => Some("throws uncommitted changes away"),
        "clean" if has(&['f'], &["--force"]) => Some("deletes untracked files"),
        "branch" if has(&['D'], &[]) || (has(&['d'], &["--delete"]) && has(&['f'], &["--force"])) => {
            Some("deletes branches that may not be merged")
        }
        _ => None,
    }
}

fn find(arguments: &[&str], depth: usize) -> Option<Danger> {
    if arguments.contains(&"-delete") {
        return Some(Danger { what: "deletes everything it finds", count: 1 });
    }
    let runs = |word: &&str| matches!(*word, "-exec" | "-execdir" | "-ok" | "-okdir");
    let position = arguments.iter().position(runs)?;
    let inner: Vec<String> = arguments[position + 1..].iter().map(|word| (*word).to_owned()).collect();
    if unwrapped(&arguments[position + 1..]).first().is_some_and(|name| name.rsplit('/').next() == Some("rm")) {
        return Some(Danger { what: "deletes everything it finds", count: 1 });
    }
    if depth < MAX_DEPTH { judge(&inner, depth + 1) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_destruction_is_seen() {
        let cases: [(&str, u32); 44] = [
            ("rm -r build", 1),
            ("rm -rf a b c", 3),
            ("rm -f -R -- -x y", 2),
            ("rm --recursive a", 1),
            ("/bin/rm -fr a", 1),
            ("\\rm -r a", 1),
            ("'rm' \"-r\" a", 1),
            ("cd x && rm -rf ../y", 1),
            ("true; (rm -r a)", 1),
            ("if true; then rm -r a; fi", 1),
            ("for f in *; do rm -r $f; done", 1),
            ("{ rm -r a; }", 1),
            ("X=1 Y=2 rm -r a", 1),
            ("env -i X=1 rm -r a b", 2),
            ("sudo -u root rm -r a", 1),
            ("nohup nice -n 5 timeout -k 1 30 rm -r a", 1),
            ("ls | xargs -n 1 rm -r", 1),
            ("sh -c 'rm -r a'", 1),
            ("bash -lc \"cd x; rm -r a b\"", 2),
            ("sh -c \"bash -c 'rm -r a'\"", 1),
            ("eval 'rm -r' a", 1),
            ("echo $(rm -r a)", 1),
            ("echo \"`rm -r a`\"", 1),
            ("git push --force", 1),
            ("git push -f origin main", 1),
            ("git push origin +main", 1),
            ("git push origin :old", 1),
            ("git push --force-with-lease=main", 1),
            ("git -C repo -c a=b reset --hard HEAD~1", 1),
            ("git clean -fdx", 1),
            ("git clean -d --force", 1),
            ("git branch -D topic", 1),
            ("git branch --delete --force topic", 1),
            ("find . -name '*.o' -delete", 1),
            ("find . -exec rm {} \\;", 1),
            ("find . -execdir chmod -R 777 {} +", 1),
            ("shred secrets", 1),
            ("dd if=/dev/zero of=disk.img", 1),
            ("truncate -s 0 log", 1),
            ("mkfs.ext4 disk.img", 1),
            ("mkfs disk.img", 1),
            ("chmod -R 777 .", 1),
            ("chown -R me .", 1),
            ("rm -r a; rm -r b c; git reset --hard", 2),
        ];
        for (script, count) in cases {
            assert_eq!(danger(script).map(|danger| danger.count), Some(count), "{script}");
        }
    }

    #[test]
    fn ordinary_work_is_not_disturbed() {
        let cases = [
            "cargo test",
            "rm file",
            "rm -f a.o b.o",
            "rm -- -r",
            "echo rm -rf /",
            "echo 'rm -rf /' > notes",
            "grep -r rm .",
            "cat <<EOF > run.sh\nrm -rf build\nEOF",
            "git push origin main",
            "git push -u origin feature",
            "git commit -m 'git reset --hard'",
            "git reset HEAD~1",
            "git branch -d merged",
            "git clean -n",
            "git log --format=+x",
            "find . -name rm",
            "find . -exec grep -l x {} +",
            "chmod +x run.sh",
            "chown me file",
            "dd if=a of=/dev/null",
            "# rm -rf /",
            "sh run.sh",
            "bash -n script",
            "ls -R",
            "FOO=rm make",
            "",
        ];
        for script in cases {
            assert_eq!(danger(script), None, "{script}");
        }
    }
}
