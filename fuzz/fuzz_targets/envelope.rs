//! Envelopes: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use licen_seal::Envelope;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::decode(bytes) {
        assert_eq!(envelope.encode().unwrap(), bytes);
        let _ = envelope.hpke_members();
    }
});
