//! Which blocks of a conversation a vendor may be shown: those that are its own or anybody's, and the pictures and documents
//! that it takes. Pure.

use base64::{Engine, prelude::BASE64_STANDARD};
use types::{Block, MediaBytes, MediaRef, ModelRequest, Role};

/// What a vendor takes of pictures and documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MediaLimits {
    /// Media types.
    pub types: &'static [&'static str],
    /// The most bytes of one, before it is encoded.
    pub each: u64,
    /// The most bytes of all in one request, before they are encoded.
    pub total: u64,
    /// The most of them in one request.
    pub count: usize,
}

impl MediaLimits {
    /// The pictures that all vendors read, with limits that all keep.
    pub const IMAGES: Self = Self {
        types: &["image/png", "image/jpeg", "image/gif", "image/webp"],
        each: 4 << 20,
        total: 12 << 20,
        count: 10,
    };

    /// And PDF documents.
    pub const fn and_pdf(self) -> Self {
        Self { types: &["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"], ..self }
    }
}

/// The request as a vendor may have it. Blocks that mean something to their giver alone are left out unless `origin` gave them;
/// a picture or document that the vendor does not take, or whose bytes are not there, is replaced by one line about it. Where
/// there are too many, the newest are shown.
pub(crate) fn prepare(mut request: ModelRequest, origin: &str, limits: &MediaLimits) -> ModelRequest {
    let mut room = Room { limits: *limits, count: 0, total: 0 };
    for message in request.messages.iter_mut().rev() {
        message.blocks.retain(|block| block.origin().is_none_or(|giver| giver == origin));
        let role = message.role;
        for block in message.blocks.iter_mut().rev() {
            if let Block::Media { media } = block
                && (role == Role::Assistant || !room.takes(media, &request.media))
            {
                *block = Block::text(media.stand_in());
            }
        }
    }
    request
}

/// What is left of a request's limits.
struct Room {
    limits: MediaLimits,
    count: usize,
    total: u64,
}

impl Room {
    fn takes(&mut self, media: &MediaRef, bytes: &MediaBytes) -> bool {
        let Some(found) = bytes.get(&media.digest) else { return false };
        let size = found.len() as u64;
        let fits = size <= self.limits.each && self.total + size <= self.limits.total && self.count < self.limits.count;
        let takes = fits && self.limits.types.contains(&media.media_type.as_str());
        if takes {
            self.count += 1;
            self.total += size;
        }
        takes
    }
}

/// The bytes of a picture or document as vendors take them.
pub(crate) fn base64_of(media: &MediaRef, bytes: &MediaBytes) -> String {
    bytes.get(&media.digest).map(|bytes| BASE64_STANDARD.encode(bytes)).unwrap_or_default()
}

/// The same as a URL (RFC 2397).
pub(crate) fn data_url(media: &MediaRef, base64: &str) -> String {
    format!("data:{};base64,{base64}", media.media_type)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use types::Message;

    fn picture(digest: &str, media_type: &str) -> Block {
        let media_type = media_type.to_owned();
        Block::Media { media: MediaRef { digest: digest.to_owned(), media_type, name: None, bytes: 4 } }
    }

    fn request(messages: Vec<Message>) -> ModelRequest {
        let bytes = ["a", "b", "c"].map(|digest| (digest.to_owned(), Arc::from([0_u8; 4])));
        ModelRequest {
            model: "m".to_owned(),
            system: "".into(),
            tools: Arc::new([]),
            messages,
            max_output_tokens: 1,
            thinking_tokens: None,
            media: Arc::new(BTreeMap::from(bytes)),
            output: None,
            cache_key: None,
        }
    }

    fn kinds(request: &ModelRequest) -> Vec<Vec<&'static str>> {
        let kind = |block: &Block| match block {
            Block::Media { .. } => "media",
            Block::Text { .. } => "text",
            _ => "other",
        };
        request.messages.iter().map(|message| message.blocks.iter().map(kind).collect()).collect()
    }

    #[test]
    fn what_a_vendor_does_not_take_becomes_a_line() {
        let messages = vec![
            Message { role: Role::User, blocks: vec![picture("a", "image/png"), picture("lost", "image/png")] },
            Message { role: Role::Assistant, blocks: vec![picture("a", "image/png")] },
            Message { role: Role::User, blocks: vec![picture("b", "image/tiff"), picture("c", "image/png")] },
        ];
        let prepared = prepare(request(messages.clone()), "x", &MediaLimits::IMAGES);
        assert_eq!(kinds(&prepared), [vec!["media", "text"], vec!["text"], vec!["text", "media"]]);
        let one = MediaLimits { count: 1, ..MediaLimits::IMAGES };
        let prepared = prepare(request(messages.clone()), "x", &one);
        assert_eq!(kinds(&prepared), [vec!["text", "text"], vec!["text"], vec!["text", "media"]]);
        let small = MediaLimits { total: 7, ..MediaLimits::IMAGES };
        assert_eq!(kinds(&prepare(request(messages), "x", &small)), kinds(&prepared));
    }

    #[test]
    fn what_another_gave_is_left_out() {
        let thinking =
            |origin: &str| Block::Thinking { text: "hm".to_owned(), signature: None, origin: origin.to_owned() };
        let blocks = vec![thinking("here"), thinking("there"), thinking(""), Block::text("x")];
        let prepared = prepare(request(vec![Message { role: Role::Assistant, blocks }]), "here", &MediaLimits::IMAGES);
        assert_eq!(kinds(&prepared), [["other", "text"]]);
    }
}
