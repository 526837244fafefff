//! The structure of an AMD SEV-SNP attestation report (SEV-SNP ABI specification, table 23). Only
//! the structure: nothing here checks a signature, so nothing here accepts a report.

use crate::refusal::Refusal;

const REPORT_BYTES: usize = 0x4a0;
/// Older versions leave out what says which processor made the report.
const MIN_VERSION: u32 = 3;
const MAX_VERSION: u32 = 5;
const ALGORITHM_ECDSA_P384: u32 = 1;
const POLICY_DEBUG: u64 = 1 << 19;
const POLICY_MIGRATION: u64 = 1 << 18;
const POLICY_RESERVED_ONE: u64 = 1 << 17;

/// A report's fields, unverified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report<'a> {
    pub(crate) version: u32,
    pub(crate) vmpl: u32,
    pub(crate) report_data: &'a [u8; 64],
    pub(crate) measurement: &'a [u8; 48],
    pub(crate) host_data: &'a [u8; 32],
    pub(crate) chip_id: &'a [u8; 64],
    /// Certificates that the host put after the report.
    pub(crate) endorsements: &'a [u8],
}

impl<'a> Report<'a> {
    /// Reads the fields, refusing whatever is not exactly the format, and guests whose memory a
    /// host may read.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let (report, endorsements) =
            bytes.split_at_checked(REPORT_BYTES).ok_or(malformed("shorter than 0x4a0 bytes"))?;
        let version = u32_at(report, 0)?;
        if !(MIN_VERSION..=MAX_VERSION).contains(&version) {
            return Err(malformed("version is not 3 to 5"));
        }
        let policy = u64::from_le_bytes(*array_at(report, 0x08)?);
        if policy & POLICY_RESERVED_ONE == 0 {
            return Err(malformed("guest policy bit 17 must be 1"));
        }
        if policy & POLICY_DEBUG != 0 {
            return Err(malformed("the guest allows debugging"));
        }
        if policy & POLICY_MIGRATION != 0 {
            return Err(malformed("the guest allows migration"));
        }
        if u32_at(report, 0x34)? != ALGORITHM_ECDSA_P384 {
            return Err(malformed("not signed with ECDSA P-384"));
        }
        let vmpl = u32_at(report, 0x30)?;
        if vmpl != 0 {
            return Err(malformed("not made at VMPL 0"));
        }
        Ok(Self {
            version,
            vmpl,
            report_data: array_at(report, 0x50)?,
            measurement: array_at(report, 0x90)?,
            host_data: array_at(report, 0xc0)?,
            chip_id: array_at(report, 0x1a0)?,
            endorsements,
        })
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<&[u8; N], Refusal> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(malformed("cut short"))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Refusal> {
    array_at(bytes, at).map(|b| u32::from_le_bytes(*b))
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::Malformed { tee: "SNP", reason }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A structurally right report; no signature in it is worth anything.
    pub(crate) fn shaped() -> Vec<u8> {
        let mut report = vec![0; REPORT_BYTES];
        report[0] = 3;
        report[0x08..0x10].copy_from_slice(&POLICY_RESERVED_ONE.to_le_bytes());
        report[0x34] = 1;
        report[0x50..0x90].fill(9);
        report[0x90..0xc0].fill(7);
        report
    }

    #[test]
    fn fields_stand_where_amd_puts_them() {
        let bytes = [shaped(), vec![5; 10]].concat();
        let parsed = Report::parse(&bytes).unwrap();
        assert_eq!((parsed.version, parsed.vmpl), (3, 0));
        assert_eq!((parsed.report_data, parsed.measurement), (&[9; 64], &[7; 48]));
        assert_eq!((parsed.host_data, parsed.chip_id), (&[0; 32], &[0; 64]));
        assert_eq!(parsed.endorsements, [5; 10]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let report = shaped();
        for end in 0..report.len() {
            assert!(Report::parse(&report[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn weak_guests_and_old_versions_are_refused() {
        let change = |at: usize, value: u8| {
            let mut report = shaped();
            report[at] = value;
            Report::parse(&report).map(|_| ()).unwrap_err()
        };
        assert_eq!(change(0, 2), malformed("version is not 3 to 5"));
        assert_eq!(change(0, 6), malformed("version is not 3 to 5"));
        assert_eq!(change(0x0a, 0b1010), malformed("the guest allows debugging"));
        assert_eq!(change(0x0a, 0b0110), malformed("the guest allows migration"));
        assert_eq!(change(0x0a, 0), malformed("guest policy bit 17 must be 1"));
        assert_eq!(change(0x30, 1), malformed("not made at VMPL 0"));
        assert_eq!(change(0x34, 0), malformed("not signed with ECDSA P-384"));
    }
}
