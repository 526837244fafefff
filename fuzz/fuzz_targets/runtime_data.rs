//! Runtime data: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use licen_core::runtime_data::RuntimeData;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(data) = RuntimeData::from_bytes(bytes) {
        assert_eq!(data.to_bytes().unwrap(), bytes);
    }
});
