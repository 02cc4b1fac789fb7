//! Full-text search.

use store::{NewMessage, Store, StoreError};
use types::{Block, Label};

use crate::fixture::{TestResult, new_message, new_session, store};

async fn filled() -> Result<Store, StoreError> {
    let (store, _) = store()?;
    store
        .transact(|tx| {
            let session = tx.create_session(new_session(None))?;
            for text in ["the build is broken", "Überweisung an Müller", "the dog builds a house", "日本語のテキスト"]
            {
                tx.append_message(new_message(session, text))?;
            }
            let blocks = vec![
                Block::Thinking { text: "secret pondering".to_owned(), signature: None, origin: String::new() },
                Block::ToolUse {
                    id: "1".to_owned(),
                    name: "exec".to_owned(),
                    input: serde_json::json!({"text": "hidden"}),
                },
                Block::ToolResult { call: "1".to_owned(), content: "error: linker failed".to_owned(), is_error: true },
                Block::text("It is the linker."),
            ];
            tx.append_message(NewMessage { blocks, label: Label::FOREIGN, ..new_message(session, "") })?;
            Ok(())
        })
        .await?;
    Ok(store)
}

fn check(store: &Store, query: &str, expected: &[&str]) -> Result<(), StoreError> {
    let mut found: Vec<String> = store.search(query, 10)?.into_iter().map(|hit| hit.snippet).collect();
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "{query:?}");
    Ok(())
}

#[tokio::test]
async fn messages_are_found_by_their_words() -> TestResult {
    let store = filled().await?;
    check(&store, "build", &["the [build] is broken", "the dog [builds] a house"])?;
    check(&store, "BUILD broken", &["the [build] is [broken]"])?;
    check(&store, "muller", &["Überweisung an [Müller]"])?;
    check(&store, "日本", &["[日本語のテキスト]"])?;
    check(&store, "house broken", &["the build is [broken]", "the dog builds a [house]"])?;
    check(&store, "nowhere", &[])?;
    Ok(())
}

#[tokio::test]
async fn results_of_tools_are_found_and_carry_their_label() -> TestResult {
    let store = filled().await?;
    let hits = store.search("linker", 10)?;
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].label, Label::FOREIGN);
    assert!(hits[0].snippet.contains("error: [linker] failed"), "{}", hits[0].snippet);
    check(&store, "pondering", &[])?;
    check(&store, "hidden", &[]).map_err(Into::into)
}

#[tokio::test]
async fn no_query_is_an_error() -> TestResult {
    let store = filled().await?;
    let long = "word ".repeat(10_000);
    let queries = [
        "",
        " ",
        "\"",
        "*",
        "-",
        "\"unclosed",
        "NEAR(a b, 2)",
        "a AND",
        "OR",
        "NOT x",
        "^x",
        "text:x",
        "{a} : b",
        "🦀",
        "\0",
        "a\0b",
        "(",
        "))",
        "x*y",
        "'; DROP TABLE messages; --",
        "a + b",
        "\u{202e}",
        long.as_str(),
    ];
    for query in queries {
        store.search(query, 10).map_err(|error| format!("{query:?}: {error}"))?;
    }
    Ok(())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    #[test]
    fn no_random_query_is_an_error(query in "\\PC{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let store = runtime.block_on(filled()).map_err(|error| proptest::test_runner::TestCaseError::fail(error.to_string()))?;
        proptest::prop_assert!(store.search(&query, 10).is_ok());
    }
}
