//! Licence expressions: `MIT OR (Apache-2.0 AND ISC)`. `AND` binds tighter than `OR`; an old form writes `/` for `OR`.

use anyhow::{Context, Result, bail};

/// Whether an expression can be met with licences that `allows` accepts. `A WITH B` is looked up as one licence.
pub fn holds(expression: &str, allows: &dyn Fn(&str) -> bool) -> Result<bool> {
    let tokens = tokens(expression);
    let mut parser = Parser { tokens: &tokens, allows, depth: 0 };
    let result = parser.any()?;
    match parser.tokens.first() {
        None => Ok(result),
        Some(token) => bail!("`{token}` is not expected in `{expression}`"),
    }
}

fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

struct Parser<'a> {
    tokens: &'a [String],
    allows: &'a dyn Fn(&str) -> bool,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.tokens.first().is_some_and(|token| token == word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn any(&mut self) -> Result<bool> {
        let mut result = self.all()?;
        while self.take("OR") {
            // Both sides are always read: a mistake on either must show.
            result |= self.all()?;
        }
        Ok(result)
    }

    fn all(&mut self) -> Result<bool> {
        let mut result = self.one()?;
        while self.take("AND") {
            result &= self.one()?;
        }
        Ok(result)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("(") {
            self.depth += 1;
            if self.depth > 16 {
                bail!("it is nested too deeply");
            }
            let result = self.any()?;
            if !self.take(")") {
                bail!("a parenthesis is not closed");
            }
            self.depth -= 1;
            return Ok(result);
        }
        let (name, rest) = self.tokens.split_first().context("a licence is missing")?;
        if ["OR", "AND", "WITH", ")"].contains(&name.as_str()) {
            bail!("`{name}` stands where a licence is expected");
        }
        self.tokens = rest;
        if !self.take("WITH") {
            return Ok((self.allows)(name));
        }
        let (exception, rest) = self.tokens.split_first().context("an exception is missing after WITH")?;
        self.tokens = rest;
        Ok((self.allows)(&format!("{name} WITH {exception}")))
    }
}

#[cfg(test)]
mod tests {
    use super::holds;

    fn check(expression: &str, expected: Option<bool>) {
        let allows = |name: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&name);
        assert_eq!(holds(expression, &allows).ok(), expected, "{expression}");
    }

    #[test]
    fn expressions_are_judged() {
        check("MIT", Some(true));
        check("GPL-3.0", Some(false));
        check("MIT OR GPL-3.0", Some(true));
        check("MIT/GPL-3.0", Some(true));
        check("MIT AND GPL-3.0", Some(false));
        check("GPL-3.0 OR MIT AND ISC", Some(true));
        check("(GPL-3.0 OR MIT) AND ISC", Some(true));
        check("(GPL-3.0 OR MPL-2.0) AND ISC", Some(false));
        check("Apache-2.0 WITH LLVM-exception", Some(true));
        check("Apache-2.0", Some(false));
    }

    #[test]
    fn malformed_expressions_are_refused() {
        for bad in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH"] {
            check(bad, None);
        }
        check(&"(".repeat(100), None);
    }
}
