//! What types of this crate must never be able to do. Compiling is the test.

use licen_seal::legacy::LegacyDatasetKey;
use licen_seal::recovery::Recovered;
use licen_seal::result_share::ResultShares;
use licen_seal::rows::RowsKey;
use licen_seal::{
    DatasetKey, EciesRecipientKey, KeyShare, RecipientKey, ResultKey, ResultKeyShare, SigningKey,
};

/// Fails to compile, by ambiguity, for a type that implements the trait.
macro_rules! never {
    ($trait:path: $($type:ty),+ $(,)?) => {{
        trait AmbiguousIfImplemented<A> {
            fn check() {}
        }
        impl<T: ?Sized> AmbiguousIfImplemented<()> for T {}
        struct Implemented;
        impl<T: ?Sized + $trait> AmbiguousIfImplemented<Implemented> for T {}
        $(<$type as AmbiguousIfImplemented<_>>::check();)+
    }};
}

macro_rules! never_a_secret {
    ($($trait:path),+ $(,)?) => {
        $(never!($trait: DatasetKey, ResultKey, KeyShare, ResultKeyShare, RecipientKey,
            EciesRecipientKey, SigningKey, LegacyDatasetKey, Recovered, ResultShares, RowsKey);)+
    };
}

#[test]
fn secrets_are_not_copied_printed_or_serialised() {
    never_a_secret!(
        Clone,
        Copy,
        std::fmt::Debug,
        std::fmt::Display,
        serde::Serialize,
        serde::de::DeserializeOwned,
        AsRef<[u8]>,
        PartialEq,
    );
}

#[test]
fn secrets_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<DatasetKey>();
    assert_send::<KeyShare>();
    assert_send::<SigningKey>();
}
