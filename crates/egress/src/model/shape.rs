//! Reads JSON against a table of what may stand where, without keeping any of it.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The longest name of a field that is repeated in a refusal, in bytes.
const MAX_NAME: usize = 40;
/// The most fields of one object in the tables: one bit each.
const MAX_FIELDS: usize = 64;

/// What may stand somewhere. `null` may stand wherever nothing may: it is the same as nothing.
#[derive(Debug)]
pub(super) enum Shape {
    /// Anything: it is shown to the model, or is a setting of its own.
    Any,
    /// `false`.
    Off,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The bytes themselves in a `data:` address, or nothing.
    Data,
    /// A model that answers and does nothing besides.
    Model,
    /// A list.
    List(&'static Shape),
    /// Text, or a list.
    TextOrList(&'static Shape),
    /// An object of these fields.
    Object(&'static [Field]),
    /// Text, or an object.
    TextOrObject(&'static [Field]),
    /// A `data:` address, or an object.
    DataOrObject(&'static [Field]),
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub shape: &'static Shape,
    /// Whether it may not be left out, since the vendor would take its absence for what is refused.
    pub needed: bool,
}

/// What was found that may not stand there, in words.
#[derive(Debug)]
pub(super) struct Found(pub String);

/// Reads one value against its shape.
#[derive(Clone, Copy)]
pub(super) struct Checked<'a> {
    shape: &'static Shape,
    /// The field that it stands in; empty for the whole request.
    name: &'static str,
    /// Whether something must stand there.
    needed: bool,
    found: &'a RefCell<Option<Found>>,
}

impl<'a> Checked<'a> {
    pub fn new(shape: &'static Shape, found: &'a RefCell<Option<Found>>) -> Self {
        Self { shape, name: "", needed: true, found }
    }

    fn refuse<E: Error>(self, what: impl fmt::Display) -> E {
        let mut found = self.found.borrow_mut();
        found.get_or_insert_with(|| Found(what.to_string()));
        E::custom("refused")
    }

    fn unexpected<E: Error>(self, what: &str) -> E {
        self.refuse(format_args!("{} may not be {what}", self.place()))
    }

    fn place(self) -> String {
        if self.name.is_empty() { "the request".to_owned() } else { format!("`{}`", self.name) }
    }

    fn is_fitting_text(self, text: &str) -> bool {
        match self.shape {
            Shape::Any | Shape::TextOrList(_) | Shape::TextOrObject(_) => true,
            Shape::Word(words) => words.contains(&text),
            Shape::Data | Shape::DataOrObject(_) => text.starts_with("data:"),
            Shape::Model => is_plain_model(text),
            Shape::Off | Shape::List(_) | Shape::Object(_) => false,
        }
    }

    fn fields(self) -> Option<&'static [Field]> {
        match self.shape {
            Shape::Object(fields) | Shape::TextOrObject(fields) | Shape::DataOrObject(fields) => Some(fields),
            Shape::Any
            | Shape::Off
            | Shape::Word(_)
            | Shape::Data
            | Shape::Model
            | Shape::List(_)
            | Shape::TextOrList(_) => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            // It is read past without a look, so that numbers too large for us and deep schemas are no matter.
            Shape::Any => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("what the interface has there")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.needed { Err(self.unexpected("null")) } else { Ok(()) }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if matches!(self.shape, Shape::Off) && !value { Ok(()) } else { Err(self.unexpected("switched on")) }
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Err(self.unexpected("a number"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Err(self.unexpected("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(self.unexpected("a number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.is_fitting_text(text) {
            return Ok(());
        }
        Err(match self.shape {
            Shape::Word(_) => self.refuse(format_args!("{} may not be {}", self.place(), shown(text))),
            Shape::Data | Shape::DataOrObject(_) => self.unexpected("an address that the vendor would fetch"),
            Shape::Model => self.refuse("the model's name asks for one that searches or runs code by itself"),
            _ => self.unexpected("text"),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let (Shape::List(shape) | Shape::TextOrList(shape)) = self.shape else {
            return Err(self.unexpected("a list"));
        };
        while list.next_element_seed(Self { shape, needed: false, ..self })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Some(fields) = self.fields() else { return Err(self.unexpected("an object")) };
        let mut seen = 0_u64;
        while let Some(index) = object.next_key_seed(Name { fields, of: self })? {
            let Some(field) = fields.get(index) else { return Err(self.unexpected("an object")) };
            if seen & (1 << index) != 0 {
                // Each reader would take another one of the two.
                return Err(A::Error::custom("a name twice"));
            }
            seen |= 1 << index;
            object.next_value_seed(Self { shape: field.shape, name: field.name, needed: field.needed, ..self })?;
        }
        for (index, field) in fields.iter().enumerate().filter(|(_, field)| field.needed) {
            if seen & (1 << index) == 0 {
                return Err(self.refuse(format_args!("`{}` must be there and be false", field.name)));
            }
        }
        Ok(())
    }
}

/// Reads the name of a field: its number among those that may stand there.
struct Name<'a> {
    fields: &'static [Field],
    of: Checked<'a>,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        debug_assert!(self.fields.len() <= MAX_FIELDS);
        let found = self.fields.iter().take(MAX_FIELDS).position(|field| field.name == name);
        found.ok_or_else(|| self.of.refuse(format_args!("{} may not have the field {}", self.of.place(), shown(name))))
    }
}

/// A word of the program's own, if it is a plain one.
fn shown(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if (1..=MAX_NAME).contains(&word.len()) && word.bytes().all(is_plain) {
        Cow::Owned(format!("`{word}`"))
    } else {
        Cow::Borrowed("that it has")
    }
}

/// Whether a model by this name answers and does nothing besides: some vendors have models that search or run code unasked,
/// and names that switch it on.
pub(super) fn is_plain_model(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let mut parts = lower.split(':');
    let (model, mut variants) = (parts.next().unwrap_or_default(), parts);
    let words = ["search", "sonar", "compound", "deep-research", "grounded", "@preset"];
    !words.iter().any(|word| lower.contains(word))
        && !variants.any(|variant| variant == "online")
        && !model.is_empty()
        && name.len() <= 256
}
