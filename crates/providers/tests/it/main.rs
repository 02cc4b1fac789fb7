//! The providers against the scripted vendors, over real HTTP. Every dialect enters every row (`support::ALL`); what one says in
//! its own way stands in the module of its name.
//!
//! | what happens | where |
//! |---|---|
//! | text cut anywhere, in characters and between CR and LF; comments, unknown events and fields | `answers::every_cut_gives_the_same_answer` |
//! | an answer in one piece | `answers::streamed_and_whole_answers_are_equal` |
//! | parallel calls, there and back | `answers`, `requests::results_of_parallel_calls_go_together` |
//! | half an argument, or none | `answers::arguments_may_be_empty_or_broken` |
//! | the end, the limit, a refusal, a reason of the future | `answers::stop_reasons_are_told_apart` |
//! | nothing at all | `answers::an_empty_answer_is_an_answer` |
//! | the cache is used and counted | `answers::the_cache_is_used_and_counted` |
//! | an orphaned result, a call without one, ids that repeat | `requests::unsound_conversations_are_mended`, `conversion` |
//! | too many, too large or unreadable pictures | `media` |
//! | 307 to 529 | `failures::statuses_have_kinds` |
//! | no money, no room | `failures::used_up_money_and_long_conversations_are_told_apart` |
//! | an error inside a stream | `failures::errors_inside_a_stream_are_errors` |
//! | a cut, an early end, no last event | `failures::broken_connections_are_truncated_answers`, `an_answer_without_its_last_event` |
//! | not JSON, no stream, a web page, compressed unasked | `failures::what_is_no_answer_is_malformed` |
//! | silence, pings alone, a slow drip | `failures::silence_ends_in_time`, `signs_of_life_are_no_progress`, `a_slow_answer_is_waited_for_while_it_grows` |
//! | nobody listens, no key, the key in an error | `failures` |
//! | a stop | `failures::a_stop_takes_effect_at_once`, `retries::a_stop_ends_the_wait` |
//! | failures that pass, that last, that name a time | `retries` |
//! | reasoning that its own vendor refuses | `anthropic`, `responses` |
//! | another vendor goes on, and the first again | `conversion` |
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod answers;
mod anthropic;
mod chat;
mod conversion;
mod failures;
mod gemini;
mod keys;
mod lists;
mod media;
mod ollama;
mod requests;
mod responses;
mod retries;
mod support;
