//! libFuzzer's entry to the body for the masking of known values; must hold no check of its own.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bodies::redactor(data));
