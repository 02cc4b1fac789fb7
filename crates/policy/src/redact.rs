//! Masking of known secret values. A secret is found as it is, percent-encoded, with JSON escapes, in base64 (any
//! alignment, both alphabets, wrapped lines) and in hex. It must not guess at unknown secrets: that is a scanner's part.

mod bytes;
mod forms;

use std::{borrow::Cow, fmt};

use types::SecretName;

use forms::{Form, Found};

/// Shorter values are not masked: they would mask ordinary words.
pub const SHORTEST: usize = 6;

/// Masks known values in texts. Cheap to use on large texts: most bytes begin no form of any secret.
#[derive(Clone)]
pub struct Redactor {
    names: Vec<SecretName>,
    forms: Vec<(usize, Form)>,
    /// By first byte: which forms may begin there.
    starts: Vec<Vec<usize>>,
}

/// A range of a text in which known values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Where it begins, in bytes.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// The number of the value, in the order in which [`Redactor::new`] took them.
    pub value: usize,
}

impl Redactor {
    /// Masks these values. Surrounding white space is not part of a value; values under [`SHORTEST`] bytes are skipped.
    pub fn new(values: impl IntoIterator<Item = (SecretName, String)>) -> Self {
        let mut redactor = Self::default();
        for (number, (name, value)) in values.into_iter().enumerate() {
            redactor.names.push(name);
            let value = value.trim().as_bytes();
            if value.len() < SHORTEST {
                continue;
            }
            redactor.forms.extend(Form::all(value).map(|form| (number, form)));
        }
        for (index, (_, form)) in redactor.forms.iter().enumerate() {
            for byte in 0..=u8::MAX {
                if form.may_start_with(byte) {
                    redactor.starts[usize::from(byte)].push(index);
                }
            }
        }
        redactor
    }

    /// The text with every known value replaced by `[secret NAME]`.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let hits = self.hits(text.as_bytes());
        if hits.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut rest = 0;
        for hit in hits {
            masked.push_str(&text[rest..hit.from]);
            masked.push_str("[secret ");
            masked.push_str(self.names[hit.value].as_str());
            masked.push(']');
            rest = hit.to;
        }
        masked.push_str(&text[rest..]);
        Cow::Owned(masked)
    }

    /// The length in bytes of the part of a growing text that can be shown: after it a secret may have begun whose rest
    /// has not come yet. Always on a character boundary.
    pub fn settled(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let unfinished = |at: usize| {
            self.starting_at(bytes[at]).any(|(_, form)| match form.find(bytes, at) {
                // A whole form at the very end may still grow: by padding, or into a longer secret.
                Found::Partly => true,
                Found::Whole { to, open, .. } => open || to == bytes.len(),
                Found::Not => false,
            })
        };
        let settled = (0..bytes.len()).find(|&at| unfinished(at)).unwrap_or(bytes.len());
        // A secret that is whole must not be cut in two because its tail looks like the beginning of another.
        let cut = self.hits(bytes).into_iter().find(|hit| hit.from < settled && settled < hit.to);
        text.floor_char_boundary(cut.map_or(settled, |hit| hit.from))
    }

    /// Every place where a known value stands, in the order of their beginnings. They may overlap, where one value
    /// holds another.
    pub fn find(&self, text: &str) -> Vec<Spot> {
        self.every(text.as_bytes())
    }

    fn every(&self, text: &[u8]) -> Vec<Spot> {
        let mut hits = Vec::new();
        for at in 0..text.len() {
            for (value, form) in self.starting_at(text[at]) {
                let Found::Whole { from, to, .. } = form.find(text, at) else { continue };
                hits.push(Spot { from, to, value: *value });
            }
        }
        hits
    }

    fn starting_at(&self, byte: u8) -> impl Iterator<Item = &(usize, Form)> {
        self.starts[usize::from(byte)].iter().map(|&index| &self.forms[index])
    }

    /// All hits in order; those that overlap are one, so that no tail of the second remains.
    fn hits(&self, text: &[u8]) -> Vec<Spot> {
        let mut hits = self.every(text);
        hits.sort_by_key(|hit| hit.from);
        let mut merged: Vec<Spot> = Vec::new();
        for hit in hits {
            match merged.last_mut() {
                Some(last) if hit.from < last.to => last.to = last.to.max(hit.to),
                Some(_) | None => merged.push(hit),
            }
        }
        merged
    }
}

impl Default for Redactor {
    /// Masks nothing.
    fn default() -> Self {
        Self { names: Vec::new(), forms: Vec::new(), starts: vec![Vec::new(); 256] }
    }
}

impl fmt::Debug for Redactor {
    /// The names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
