//! SEV-SNP reports, with the certificate of a genuine chip.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use licen_attest::{Collateral, ReferenceValues, examine};

const AT: u64 = 1_752_919_234;
static VCEK: LazyLock<Collateral> =
    LazyLock::new(|| Collateral::from_file(include_bytes!("../../vectors/attest/vcek_milan.der")).unwrap());

fuzz_target!(|bytes: &[u8]| {
    let values = ReferenceValues::simulated("fuzz", Vec::new());
    let found = examine(bytes, &VCEK, &values, AT);
    // The same bytes as a certificate behind a report that nobody made.
    if let Ok(other) = Collateral::from_file(bytes) {
        let _ = examine(bytes, &other, &values, AT);
    }
    if found.claims.is_some() {
        assert_eq!(bytes[..0x2a0], *genuine(), "a report that AMD did not sign");
    }
});

fn genuine() -> Vec<u8> {
    let text = include_str!("../../vectors/attest/report_milan.hex").trim();
    (0..0x2a0).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}
