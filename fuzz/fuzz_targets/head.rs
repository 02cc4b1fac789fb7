//! libFuzzer's entry to the body for the head of a request to the proxy; must hold no check of its own.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bodies::head(data));
