//! libFuzzer's entry to the body for the algebra of labels; must hold no check of its own.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bodies::labels(data));
