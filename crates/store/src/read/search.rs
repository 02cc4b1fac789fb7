//! Full-text search over all messages. The query is words, never a search language: nothing a user or a model writes can
//! be a syntax error or reach an operator.

use rusqlite::{Connection, Row};
use types::{MessageId, SessionId};

use crate::{Store, codec, error::StoreError, records::SearchHit};

/// The most words of a query that count.
const MAX_WORDS: usize = 24;
/// The most characters of a word that count.
const MAX_WORD: usize = 64;
/// The most hits of a search.
const MAX_HITS: usize = 100;

impl Store {
    /// The messages that match best: those with all the words, or with some of them if none has all. Words match from
    /// their beginning, whatever their case and accents.
    pub fn search(&self, query: &str, limit: usize) -> Result<Vec<SearchHit>, StoreError> {
        let words = words(query);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let limit = codec::limit(limit.min(MAX_HITS));
        self.read(|connection| {
            let all = find(connection, &words.join(" AND "), limit)?;
            if all.is_empty() && words.len() > 1 { find(connection, &words.join(" OR "), limit) } else { Ok(all) }
        })
    }
}

fn find(connection: &Connection, expression: &str, limit: i64) -> Result<Vec<SearchHit>, StoreError> {
    let sql = "SELECT messages.id, messages.session, messages.author, messages.integrity, messages.confidentiality,
                      messages.at, hits.snippet, hits.rank
               FROM (SELECT rowid, rank, snippet(message_index, 0, '[', ']', '…', 32) AS snippet
                     FROM message_index WHERE message_index MATCH ?1 ORDER BY rank LIMIT ?2) AS hits
               JOIN messages ON messages.id = hits.rowid ORDER BY hits.rank, messages.id DESC";
    codec::all(connection, sql, (expression, limit), map)
}

fn map(row: &Row<'_>) -> Result<SearchHit, StoreError> {
    Ok(SearchHit {
        message: MessageId(row.get(0)?),
        session: SessionId(row.get(1)?),
        author: codec::from_word("author", row.get(2)?)?,
        label: codec::label_at(row, 3)?,
        at: codec::time_at(row, 5)?,
        snippet: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        rank: row.get(7)?,
    })
}

/// The words of a query as quoted prefixes. Only letters and digits and what combines with them stays, so a word can
/// hold no quote; what has neither, such as an emoji, is not indexed and would match nothing.
fn words(query: &str) -> Vec<String> {
    let pieces = query.split(|c: char| c.is_whitespace() || c.is_control() || c.is_ascii_punctuation());
    let words = pieces.filter(|piece| piece.chars().any(char::is_alphanumeric));
    let bounded = words.map(|word| word.chars().take(MAX_WORD).collect::<String>());
    bounded.take(MAX_WORDS).map(|word| format!("\"{word}\"*")).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_query_becomes_quoted_words() {
        assert_eq!(words("the build"), ["\"the\"*", "\"build\"*"]);
        assert_eq!(
            words("cargo-test \"x\"* NEAR(a, b)"),
            ["\"cargo\"*", "\"test\"*", "\"x\"*", "\"NEAR\"*", "\"a\"*", "\"b\"*"]
        );
        assert_eq!(words("🦀 * - \" ()"), [""; 0]);
        assert_eq!(words("naïve\0日本"), ["\"naïve\"*", "\"日本\"*"]);
    }
}
