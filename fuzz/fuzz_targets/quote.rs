//! TDX and SGX quotes. Nothing that libFuzzer makes can be signed by Intel, so acceptance is a finding
//! unless only unsigned bytes changed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use licen_attest::{Collateral, ReferenceValues, examine};

const AT: u64 = 1_752_919_234;
const GENUINE: &[u8] = include_bytes!("../../vectors/attest/tdx_quote");
static COLLATERAL: LazyLock<Collateral> = LazyLock::new(|| {
    Collateral::from_file(include_bytes!("../../vectors/attest/tdx_quote_collateral.json")).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    let found = examine(bytes, &COLLATERAL, &ReferenceValues::simulated("fuzz", Vec::new()), AT);
    if let Some(claims) = found.claims {
        let genuine = examine(GENUINE, &COLLATERAL, &ReferenceValues::simulated("fuzz", Vec::new()), AT);
        assert_eq!(Some(claims), genuine.claims);
    }
});
