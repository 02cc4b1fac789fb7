//! Pictures and documents: shown where the vendor takes them, told of where it does not.

use std::{collections::BTreeMap, sync::Arc};

use providers::Api;
use testkit::model::Reply;
use types::{Block, Message, ModelRequest, Role};

use crate::support::{ALL, Bench, Picture, picture, request};

/// What the vendor sees of these pictures: how many, and all that the user has written.
async fn seen(api: Api, pictures: &[Picture], taken: bool) -> (usize, String) {
    let change = |config: &mut providers::ProviderConfig| {
        config.quirks.images = taken;
        // Thousands of lines about pictures need room.
        config.context_tokens.insert("model-1".to_owned(), 1_000_000);
    };
    let bench = Bench::configured(api, change, |_| Reply::say("x")).await;
    let bytes: BTreeMap<String, Arc<[u8]>> =
        pictures.iter().map(|one| (one.media.digest.clone(), Arc::clone(&one.bytes))).collect();
    let mut blocks: Vec<Block> = pictures.iter().map(|one| one.block.clone()).collect();
    blocks.push(Block::text("look"));
    let message = Message { role: Role::User, blocks };
    bench.reply(ModelRequest { media: Arc::new(bytes), ..request(vec![message]) }).await;
    let seen = bench.server.requests().remove(0);
    (seen.media().len(), seen.user_texts().join("\n"))
}

#[tokio::test]
async fn a_picture_arrives_as_it_is() {
    for api in ALL {
        let bench = Bench::start(api, |_| Reply::say("x")).await;
        let (one, media) = picture(1000);
        let messages = vec![Message { role: Role::User, blocks: vec![one.block, Block::text("look")] }];
        bench.reply(ModelRequest { media, ..request(messages) }).await;
        let found = bench.server.requests()[0].media();
        let data: Vec<&str> = found.iter().map(|media| media.data.as_str()).collect();
        assert_eq!(data, [one.base64], "{api:?}");
    }
}

#[tokio::test]
async fn what_is_too_large_or_not_taken_is_told_in_words() {
    let (small, _) = picture(10);
    let (large, _) = picture(25 << 20);
    for api in ALL {
        let (count, text) = seen(api, &[small.clone(), large.clone()], true).await;
        assert_eq!(count, 1, "{api:?}");
        assert!(text.contains("not shown here") && text.contains(&large.media.bytes.to_string()), "{api:?} {text}");
        let (count, text) = seen(api, std::slice::from_ref(&small), false).await;
        assert_eq!(count, 0, "{api:?}");
        assert!(text.contains("not shown here"), "{api:?} {text}");
    }
}

#[tokio::test]
async fn of_too_many_the_newest_are_shown() {
    let one = |at: usize| {
        let mut one = picture(8).0;
        one.media.digest = format!("digest {at}");
        one.block = Block::Media { media: one.media.clone() };
        one
    };
    for api in ALL {
        let count = match api {
            Api::Anthropic => 104,
            Api::OpenaiChat | Api::OpenaiResponses | Api::Gemini => 504,
            Api::Ollama => 14,
        };
        let many: Vec<Picture> = (0..count).map(one).collect();
        // The server refuses more than its vendor takes.
        let (count, text) = seen(api, &many, true).await;
        let told = text.matches("not shown here").count();
        assert_eq!((count, told), (many.len() - 4, 4), "{api:?}");
    }
}
