//! PolicyManifests, which anybody can publish.
#![no_main]

use libfuzzer_sys::fuzz_target;
use licen_core::abi::Policy;
use licen_core::policy_manifest::PolicyManifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = PolicyManifest::from_bytes(bytes) {
        let _ = (manifest.name(), manifest.description(), manifest.purposes(), manifest.languages());
        let _ = (manifest.tasks(), manifest.keywords(), manifest.license_text(), manifest.contact());
        let _ = (manifest.published(), manifest.file(), manifest.offers(&Policy::default()));
        let again = manifest.to_bytes().unwrap();
        assert!(PolicyManifest::from_bytes(&again).is_ok());
    }
});
