//! Rows of a data set.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = licen_train::jsonl::parse(bytes, 1 << 20);
});
