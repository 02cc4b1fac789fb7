//! What a brain answers.

use std::time::Duration;

use serde_json::Value;

/// One piece of an answer, in the order in which it is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Reasoning; Anthropic signs it, Chat sends it as `reasoning_content`, Responses as a summary beside the encrypted form,
    /// Gemini as a part that is a thought, Ollama as `thinking`. Gemini signs what comes of it.
    Think(String),
    /// Reasoning that Anthropic encrypts and Responses gives without a summary; in Chat as OpenRouter's `reasoning_details`. Of
    /// Gemini's only the signature on what comes of it shows; Ollama leaves it out.
    Redacted,
    /// Text.
    Say(String),
    /// A tool call.
    Call {
        /// The tool.
        name: String,
        /// Its arguments. For Responses a text is the input of a freeform tool.
        input: Value,
    },
    /// A tool call whose arguments are sent as these very characters, which need not be JSON. Gemini says that its model wrote
    /// the call wrongly if they are no object.
    RawCall {
        /// The tool.
        name: String,
        /// The characters.
        arguments: String,
    },
}

/// What goes wrong instead of, or during, an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// An HTTP error.
    Status {
        /// The status.
        code: u16,
        /// The value of the `retry-after` header: seconds or a date.
        retry_after: Option<String>,
        /// The body; the vendor's usual shape when absent.
        body: Option<Value>,
    },
    /// No answer ever.
    Hang,
    /// The stream stops coming after this many bytes; the connection stays.
    HangAfter(usize),
    /// After this many bytes the stream brings nothing but comments and, for Anthropic, pings.
    OnlyPingsAfter {
        /// Bytes of the answer before.
        bytes: usize,
        /// Time between two pings.
        every: Duration,
    },
    /// The connection breaks after this many bytes.
    CutAfter(usize),
    /// The body ends in an orderly way after this many bytes.
    EndAfter(usize),
    /// The last event of the stream is missing (`message_stop`, `[DONE]`, `response.completed`, or the one that says why the
    /// model stopped).
    NoLastEvent,
    /// One event's data is half an object.
    MalformedJson,
    /// The body is not a stream of events, though the header says so.
    MalformedSse,
    /// The stream comes in pieces of so many bytes, one each interval.
    SlowDrip {
        /// Bytes in a piece.
        bytes: usize,
        /// Time between pieces.
        every: Duration,
    },
    /// An error event inside a stream with status 200. For Responses it has the form that the vendor sends, with
    /// [`Reply::noise`] the one that it documents.
    StreamError {
        /// The vendor's type of the error, such as `overloaded_error`.
        kind: String,
        /// Its text.
        message: String,
    },
    /// A stream with status 200 that ends with the answer having failed: `response.failed` in Responses, an error event
    /// elsewhere.
    Failed {
        /// The vendor's code, such as `server_error`.
        code: String,
        /// Its text.
        message: String,
    },
    /// A page of HTML with status 200.
    WrongContentType,
    /// A compressed body that nobody asked for.
    Compressed,
    /// An answer without any content.
    EmptyAnswer,
    /// The vendor's error for a conversation that is too long: a status, or in a stream of Responses its last event.
    ContextOverflow,
    /// The model refuses; Ollama's has no word for it and says what it says.
    Refuse,
    /// The answer is cut by the output limit.
    MaxTokens,
    /// The answer stops for this reason, in the vendor's own word; in Responses it is incomplete for it.
    Stop(String),
}

/// How a stream is cut into packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pieces {
    /// Small pieces of irregular size, cut anywhere, also inside a character.
    #[default]
    Irregular,
    /// One byte each.
    Single,
    /// All at once.
    Whole,
}

/// What the server answers to one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The content.
    pub parts: Vec<Part>,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// How long the server waits before it answers.
    pub delay: Duration,
    /// How the stream is cut.
    pub pieces: Pieces,
    /// Whether lines end in CR LF.
    pub crlf: bool,
    /// Whether comments, pings, unknown events and unknown fields are mixed in.
    pub noise: bool,
}

impl Reply {
    /// A text.
    pub fn say(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Say(text.into())], ..Self::default() }
    }

    /// One tool call.
    pub fn call(name: impl Into<String>, input: Value) -> Self {
        Self::default().and_call(name, input)
    }

    /// A text, unless it is empty, and tool calls that are to run side by side.
    pub fn tools<N: Into<String>>(text: impl Into<String>, calls: impl IntoIterator<Item = (N, Value)>) -> Self {
        let text = text.into();
        let mut parts = if text.is_empty() { Vec::new() } else { vec![Part::Say(text)] };
        parts.extend(calls.into_iter().map(|(name, input)| Part::Call { name: name.into(), input }));
        Self { parts, ..Self::default() }
    }

    /// A failure.
    pub fn fault(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::say("This sentence is long enough to be cut in the middle of itself.") }
    }

    /// An HTTP error in the vendor's shape.
    pub fn status(code: u16) -> Self {
        Self::fault(Fault::Status { code, retry_after: None, body: None })
    }

    /// The same answer with reasoning before it.
    #[must_use]
    pub fn thinking(mut self, text: impl Into<String>) -> Self {
        self.parts.insert(0, Part::Think(text.into()));
        self
    }

    /// The same answer and one more part.
    #[must_use]
    pub fn and(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// The same answer and one more tool call.
    #[must_use]
    pub fn and_call(self, name: impl Into<String>, input: Value) -> Self {
        self.and(Part::Call { name: name.into(), input })
    }

    /// The same answer, later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same answer with something going wrong.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The same answer, cut differently.
    #[must_use]
    pub fn in_pieces(mut self, pieces: Pieces) -> Self {
        self.pieces = pieces;
        self
    }

    /// The same answer with CR LF at the end of lines.
    #[must_use]
    pub fn with_crlf(mut self) -> Self {
        self.crlf = true;
        self
    }

    /// The same answer with comments, pings, unknown events and unknown fields mixed in.
    #[must_use]
    pub fn with_noise(mut self) -> Self {
        self.noise = true;
        self
    }
}
