//! Splitting a shell script into its simple commands, for the warnings of [`crate::danger`]. It sees through quoting,
//! lists, pipes, subshells, substitutions and redirections; it does not expand variables. It must not be used to decide
//! what is safe: a shell can hide anything from a reader like this.

/// Substitutions nested deeper than this are not looked into.
const MAX_DEPTH: usize = 8;

/// The words of each simple command in `script`, quotes removed, in the order in which they are found. Commands inside
/// substitutions come after the one that holds them.
pub(crate) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    collect(script, 0, &mut found);
    found
}

fn collect(script: &str, depth: usize, found: &mut Vec<Vec<String>>) {
    let mut lexer = Lexer::new(script);
    lexer.run();
    found.extend(lexer.commands);
    if depth < MAX_DEPTH {
        for inner in lexer.substitutions {
            collect(&inner, depth + 1, found);
        }
    }
}

struct Lexer {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: String,
    /// Set by quotes, so that an empty quoted word counts.
    in_word: bool,
    /// The next word is the target of a redirection.
    skip_word: bool,
    /// The next word ends a here-document that begins after this line.
    heredoc_word: bool,
    heredocs: Vec<String>,
    substitutions: Vec<String>,
}

impl Lexer {
    fn new(script: &str) -> Self {
        Self {
            rest: script.chars().collect::<Vec<_>>().into_iter().peekable(),
            commands: Vec::new(),
            words: Vec::new(),
            word: String::new(),
            in_word: false,
            skip_word: false,
            heredoc_word: false,
            heredocs: Vec::new(),
            substitutions: Vec::new(),
        }
    }

    fn run(&mut self) {
        while let Some(character) = self.rest.next() {
            match character {
                '\\' => match self.rest.next() {
                    Some('\n') | None => {}
                    Some(next) => self.push(next),
                },
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '`' => self.backquoted(),
                '$' => self.dollar(),
                '#' if !self.in_word => while self.rest.next_if(|next| *next != '\n').is_some() {},
                '\n' => {
                    self.end_command();
                    self.skip_heredocs();
                }
                '&' if self.rest.peek() == Some(&'>') => self.end_word(),
                ';' | '&' | '|' | '(' | ')' => self.end_command(),
                '<' | '>' => self.redirection(character),
                blank if blank.is_whitespace() => self.end_word(),
                other => self.push(other),
            }
        }
        self.end_command();
    }

    fn push(&mut self, character: char) {
        self.word.push(character);
        self.in_word = true;
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        if !std::mem::take(&mut self.in_word) {
            return;
        }
        if std::mem::take(&mut self.heredoc_word) {
            self.heredocs.push(word);
        } else if !std::mem::take(&mut self.skip_word) {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.skip_word = false;
        let words = std::mem::take(&mut self.words);
        if !words.is_empty() {
            self.commands.push(words);
        }
    }

    fn single_quoted(&mut self) {
        self.in_word = true;
        for character in self.rest.by_ref() {
            if character == '\'' {
                return;
            }
            self.word.push(character);
        }
    }

    fn double_quoted(&mut self) {
        self.in_word = true;
        while let Some(character) = self.rest.next() {
            match character {
                '"' => return,
                '\\' => match self.rest.next() {
                    Some('\n') | None => {}
                    Some(next @ ('"' | '\\' | '$' | '`')) => self.word.push(next),
                    Some(next) => self.word.extend(['\\', next]),
                },
                '`' => self.backquoted(),
                '$' => self.dollar(),
                other => self.word.push(other),
            }
        }
    }

    fn backquoted(&mut self) {
        self.in_word = true;
        let mut inner = String::new();
        while let Some(character) = self.rest.next() {
            match character {
                '`' => break,
                '\\' => inner.extend(self.rest.next()),
                other => inner.push(other),
            }
        }
        self.substitutions.push(inner);
    }

    /// `$(...)` is a script of its own; any other `$` stays as it is.
    fn dollar(&mut self) {
        self.in_word = true;
        if self.rest.next_if_eq(&'(').is_none() {
            self.word.push('$');
            return;
        }
        let (mut inner, mut open, mut quote) = (String::new(), 1, None);
        while let Some(character) = self.rest.next() {
            match (quote, character) {
                (None, '(') => open += 1,
                (None, ')') => open -= 1,
                (None, '\'' | '"') => quote = Some(character),
                (Some(closing), _) if closing == character => quote = None,
                _ => {}
            }
            if open == 0 {
                break;
            }
            inner.push(character);
            if character == '\\' && quote != Some('\'') {
                inner.extend(self.rest.next());
            }
        }
        self.substitutions.push(inner);
    }

    fn redirection(&mut self, first: char) {
        // `2>` names a descriptor, not an operand.
        if self.word.chars().all(|character| character.is_ascii_digit()) {
            self.word.clear();
            self.in_word = false;
        }
        self.end_word();
        // `<(...)` and `>(...)` are commands in their own right; the parenthesis is left to the main loop.
        if self.rest.peek() == Some(&'(') {
            return;
        }
        let mut doubled = false;
        while let Some(next) = self.rest.next_if(|next| matches!(next, '<' | '>' | '&' | '|' | '-')) {
            // `<<<` feeds a word, `<<` and `<<-` a document.
            doubled = first == '<' && matches!((doubled, next), (false, '<') | (true, '-'));
        }
        self.heredoc_word = doubled;
        self.skip_word = !doubled;
    }

    /// The documents that begin after a line are data, not commands.
    fn skip_heredocs(&mut self) {
        for end in std::mem::take(&mut self.heredocs) {
            loop {
                let mut line = String::new();
                let mut more = false;
                for character in self.rest.by_ref() {
                    more = true;
                    if character == '\n' {
                        break;
                    }
                    line.push(character);
                }
                if !more || line.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[&[&str]]) {
        assert_eq!(commands(script), expected, "{script}");
    }

    #[test]
    fn scripts_are_split_into_simple_commands() {
        check("cargo test", &[&["cargo", "test"]]);
        check("a && b || c; d & e | f\ng", &[&["a"], &["b"], &["c"], &["d"], &["e"], &["f"], &["g"]]);
        check("(cd x; rm y)", &[&["cd", "x"], &["rm", "y"]]);
        check("echo 'a;b' \"c | d\" e\\ f ''", &[&["echo", "a;b", "c | d", "e f", ""]]);
        check("r'm' -\"r\"f x", &[&["rm", "-rf", "x"]]);
        check("echo $(rm -r a) `rm b`", &[&["echo", "", ""], &["rm", "-r", "a"], &["rm", "b"]]);
        check("echo \"$(echo \")\" ; rm x)\"", &[&["echo", ""], &["echo", ")"], &["rm", "x"]]);
        check("a > rm 2>&1 b &> c", &[&["a", "b"]]);
        check("cat <<EOF > f\nrm -r x\nEOF\nls", &[&["cat"], &["ls"]]);
        check("cat <<-'E'\n\trm\n\tE\nls", &[&["cat"], &["ls"]]);
        check("cat <<< word x", &[&["cat", "x"]]);
        check("a # rm -r\nb#c", &[&["a"], &["b#c"]]);
        check("a \\\n b", &[&["a", "b"]]);
        check("diff <(rm a) b", &[&["diff"], &["rm", "a"], &["b"]]);
        check("", &[]);
        check("'unclosed", &[&["unclosed"]]);
        check("$(", &[&[""]]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(script in "[ -~\\n]{0,80}") {
            commands(&script);
        }
    }
}
