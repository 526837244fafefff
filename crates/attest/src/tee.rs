//! The TEE a process runs in, chosen when it starts.

use std::path::{Path, PathBuf};

use licen_core::primitives::{Address, B256};
use licen_core::runtime_data::{LABEL, LABEL_SIMULATED, report_data};
use licen_core::wire::custodian::Evidence;
use serde::{Deserialize, Serialize};

use crate::amd::REPORT_BYTES;
use crate::collateral::is_der;
use crate::reference_values::TeeType;
use crate::refusal::AttestError;
use crate::simulated::SimulatedTee;
use crate::tsm;

const GUID_BYTES: usize = 16;
/// 63da758d-e664-4564-adc5-f4b93be8accd, the entry of a VCEK.
const VCEK_GUID: [u8; GUID_BYTES] =
    [0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd];

/// Which TEE to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TeeChoice {
    /// Intel TDX.
    Tdx,
    /// AMD SEV-SNP.
    Snp,
    /// None: simulated evidence, level SOFTWARE.
    #[default]
    Simulated,
}

/// A maker of evidence.
pub enum Tee {
    /// A trust domain, by the kernel's interface in this folder.
    Tdx(PathBuf),
    /// An SNP guest, by the kernel's interface in this folder, and the chip's certificate (DER) for
    /// hosts that hand out none.
    Snp(PathBuf, Option<Vec<u8>>),
    /// Nothing.
    Simulated(SimulatedTee),
}

impl Tee {
    /// Takes the chosen TEE into use. `vcek` is the chip's certificate (DER), used where the host
    /// hands out none.
    ///
    /// # Errors
    /// [`AttestError::NoTee`] where this machine has none.
    pub fn new(choice: TeeChoice, vcek: Option<Vec<u8>>) -> Result<Self, AttestError> {
        Self::under(Path::new(tsm::REPORTS), choice, vcek)
    }

    fn under(reports: &Path, choice: TeeChoice, vcek: Option<Vec<u8>>) -> Result<Self, AttestError> {
        let here = |tee| {
            if reports.is_dir() {
                return Ok(reports.to_owned());
            }
            let reason = format!(
                "{} does not exist; it needs a confidential guest, Linux 6.7 or newer with \
                 CONFIG_TSM_REPORTS, and a mounted configfs",
                reports.display()
            );
            Err(AttestError::NoTee { tee, reason })
        };
        Ok(match choice {
            TeeChoice::Tdx => Self::Tdx(here("tdx")?),
            TeeChoice::Snp => Self::Snp(here("snp")?, vcek),
            TeeChoice::Simulated => Self::Simulated(SimulatedTee::from_current_exe()?),
        })
    }

    /// What its evidence is worth, and how it is filed.
    #[must_use]
    pub fn tee_type(&self) -> TeeType {
        match self {
            Self::Tdx(_) => TeeType::Tdx,
            Self::Snp(..) => TeeType::Snp,
            Self::Simulated(_) => TeeType::Simulated,
        }
    }

    /// Label of runtime data that its evidence is about.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Tdx(_) | Self::Snp(..) => LABEL,
            Self::Simulated(_) => LABEL_SIMULATED,
        }
    }

    /// Evidence, made now, that binds runtime data (by its SHA-256) and the signing address.
    ///
    /// # Errors
    /// What the kernel's interface refuses.
    pub fn evidence_for(&self, runtime_data_hash: &B256, signer: Address) -> Result<Evidence, AttestError> {
        let data = report_data(runtime_data_hash, signer);
        match self {
            Self::Simulated(tee) => tee.evidence_for(runtime_data_hash, signer),
            Self::Tdx(reports) => {
                let report = tsm::request(reports, tsm::TDX_PROVIDER, &data)?;
                Ok(Evidence::Tdx { quote: report.outblob.into() })
            }
            Self::Snp(reports, vcek) => {
                let report = tsm::request(reports, tsm::SNP_PROVIDER, &data)?;
                snp_evidence(report, vcek.as_deref())
            }
        }
    }
}

/// A report with its chip's certificate behind it: the host's, else the operator's.
fn snp_evidence(report: tsm::Report, vcek: Option<&[u8]>) -> Result<Evidence, AttestError> {
    let mut bytes = report.outblob;
    bytes.truncate(REPORT_BYTES);
    let certificate = host_certificate(&report.auxblob).or_else(|| vcek.map(<[u8]>::to_vec));
    let certificate = certificate.filter(|der| is_der(der)).ok_or_else(|| AttestError::NoTee {
        tee: "snp",
        reason: "the host hands out no certificate of its chip, and none is configured".to_owned(),
    })?;
    bytes.extend(certificate);
    Ok(Evidence::Snp { report: bytes.into() })
}

/// The chip's certificate in the table that a host may put beside a report (AMD 56421, extended guest
/// request): entries of GUID, offset and length, both little-endian, up to a GUID of zeros.
fn host_certificate(table: &[u8]) -> Option<Vec<u8>> {
    for entry in table.chunks_exact(GUID_BYTES + 8) {
        let (guid, place) = entry.split_at(GUID_BYTES);
        if guid == [0; GUID_BYTES] {
            return None;
        }
        if guid == VCEK_GUID {
            let number = |at: usize| -> Option<usize> {
                let bytes = place.get(at..at + 4)?.try_into().ok()?;
                usize::try_from(u32::from_le_bytes(bytes)).ok()
            };
            let (offset, length) = (number(0)?, number(4)?);
            return table.get(offset..offset.checked_add(length)?).map(<[u8]>::to_vec);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_tee_says_what_is_missing() {
        for (choice, tee) in [(TeeChoice::Tdx, "tdx"), (TeeChoice::Snp, "snp")] {
            let missing = tempfile::tempdir().unwrap().path().join("report");
            let error = Tee::under(&missing, choice, None).err().unwrap();
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("no {tee} here: ")) && text.contains("CONFIG_TSM_REPORTS"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_snp_report_carries_the_certificate_of_its_chip() {
        let der = crate::samples::VCEK;
        let report = || tsm::Report { outblob: vec![1; REPORT_BYTES], auxblob: Vec::new() };
        let Evidence::Snp { report: bytes } = snp_evidence(report(), Some(der)).unwrap() else { panic!() };
        assert_eq!(&bytes[REPORT_BYTES..], der);
        assert!(matches!(snp_evidence(report(), None), Err(AttestError::NoTee { tee: "snp", .. })));
        assert!(snp_evidence(report(), Some(b"no certificate")).is_err());
        let table = table(&[(VCEK_GUID, der)]);
        let from_host = tsm::Report { outblob: vec![1; REPORT_BYTES], auxblob: table };
        let Evidence::Snp { report: bytes } = snp_evidence(from_host, None).unwrap() else { panic!() };
        assert_eq!(&bytes[REPORT_BYTES..], der);
    }

    fn table(entries: &[([u8; GUID_BYTES], &[u8])]) -> Vec<u8> {
        let mut offset = u32::try_from((entries.len() + 1) * (GUID_BYTES + 8)).unwrap();
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        for (guid, der) in entries {
            let length = u32::try_from(der.len()).unwrap();
            head.extend([guid.as_slice(), &offset.to_le_bytes(), &length.to_le_bytes()].concat());
            tail.extend_from_slice(der);
            offset += length;
        }
        [head, vec![0; GUID_BYTES + 8], tail].concat()
    }

    #[test]
    fn the_chips_certificate_is_found_among_others() {
        let table = table(&[([1; GUID_BYTES], b"ark"), (VCEK_GUID, b"vcek"), ([2; GUID_BYTES], b"ask")]);
        assert_eq!(host_certificate(&table).unwrap(), b"vcek");
    }

    #[test]
    fn a_table_that_points_outside_of_itself_gives_nothing() {
        let pointing = |offset: u32, length: u32| {
            [VCEK_GUID.as_slice(), &offset.to_le_bytes(), &length.to_le_bytes()].concat()
        };
        for table in [
            vec![],
            vec![0; 7],
            vec![0xff; 100],
            pointing(u32::MAX, u32::MAX),
            pointing(0, 25),
            pointing(24, 1),
        ] {
            assert_eq!(host_certificate(&table), None);
        }
    }
}
