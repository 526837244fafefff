//! The structure of an Intel TDX quote, versions 4 and 5 (Intel TDX DCAP Quoting Library API, A.3
//! and A.4). Only the structure: nothing here checks a signature, so nothing here accepts a quote.

use crate::refusal::Refusal;

const HEADER_BYTES: usize = 48;
/// The TD report of TDX 1.0.
const BODY_10_BYTES: usize = 584;
/// The TD report of TDX 1.5.
const BODY_15_BYTES: usize = 648;
const TEE_TYPE_TDX: u32 = 0x81;
const ATTESTATION_KEY_P256: u16 = 2;
const INTEL_QE_VENDOR: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];

const MRTD_AT: usize = 136;
const RTMR_AT: usize = 328;
const REPORT_DATA_AT: usize = 520;
const ATTRIBUTES_AT: usize = 120;

/// A quote's fields, unverified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Quote<'a> {
    pub(crate) version: u16,
    pub(crate) attributes: u64,
    pub(crate) mrtd: &'a [u8; 48],
    pub(crate) rtmr: [&'a [u8; 48]; 4],
    pub(crate) report_data: &'a [u8; 64],
}

impl<'a> Quote<'a> {
    /// Reads the fields, refusing whatever is not exactly the format.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let header = bytes.get(..HEADER_BYTES).ok_or(malformed("shorter than its header"))?;
        let version = u16_at(header, 0)?;
        if u16_at(header, 2)? != ATTESTATION_KEY_P256 {
            return Err(malformed("not signed with ECDSA P-256"));
        }
        if u32_at(header, 4)? != TEE_TYPE_TDX {
            return Err(malformed("TEE type is not 0x81"));
        }
        if header[12..28] != INTEL_QE_VENDOR {
            return Err(malformed("not made by Intel's quoting enclave"));
        }
        let rest = &bytes[HEADER_BYTES..];
        let (body, rest) = match version {
            4 => split(rest, BODY_10_BYTES)?,
            5 => body_of_version_5(rest)?,
            _ => return Err(malformed("version is neither 4 nor 5")),
        };
        check_signature_data(rest)?;
        Ok(Self {
            version,
            attributes: u64::from_le_bytes(*array_at(body, ATTRIBUTES_AT)?),
            mrtd: array_at(body, MRTD_AT)?,
            rtmr: [
                array_at(body, RTMR_AT)?,
                array_at(body, RTMR_AT + 48)?,
                array_at(body, RTMR_AT + 96)?,
                array_at(body, RTMR_AT + 144)?,
            ],
            report_data: array_at(body, REPORT_DATA_AT)?,
        })
    }
}

fn body_of_version_5(rest: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let expected = match u16_at(rest, 0)? {
        2 => BODY_10_BYTES,
        3 => BODY_15_BYTES,
        _ => return Err(malformed("body type is neither TDX 1.0 nor 1.5")),
    };
    if u32_at(rest, 2)? as usize != expected {
        return Err(malformed("body size does not fit its type"));
    }
    split(&rest[6..], expected)
}

/// A length, that many bytes, and at most zero padding after them.
fn check_signature_data(rest: &[u8]) -> Result<(), Refusal> {
    let length = u32_at(rest, 0)? as usize;
    let (signature, padding) = split(&rest[4..], length)?;
    if signature.is_empty() {
        return Err(malformed("no signature data"));
    }
    if padding.iter().any(|byte| *byte != 0) {
        return Err(malformed("bytes after the signature data"));
    }
    Ok(())
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), Refusal> {
    bytes.split_at_checked(at).ok_or(malformed("cut short"))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<&[u8; N], Refusal> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(malformed("cut short"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Refusal> {
    array_at(bytes, at).map(|b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Refusal> {
    array_at(bytes, at).map(|b| u32::from_le_bytes(*b))
}

fn malformed(reason: &'static str) -> Refusal {
    Refusal::Malformed { tee: "TDX", reason }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A structurally right quote; no signature in it is worth anything.
    pub(crate) fn shaped(version: u16, body_bytes: usize) -> Vec<u8> {
        let mut quote = vec![0; HEADER_BYTES];
        quote[..2].copy_from_slice(&version.to_le_bytes());
        quote[2..4].copy_from_slice(&2u16.to_le_bytes());
        quote[4..8].copy_from_slice(&0x81u32.to_le_bytes());
        quote[12..28].copy_from_slice(&INTEL_QE_VENDOR);
        if version == 5 {
            let kind: u16 = if body_bytes == BODY_10_BYTES { 2 } else { 3 };
            quote.extend(kind.to_le_bytes());
            quote.extend(u32::try_from(body_bytes).unwrap().to_le_bytes());
        }
        let mut body = vec![0; body_bytes];
        body[MRTD_AT..MRTD_AT + 48].fill(7);
        body[REPORT_DATA_AT..REPORT_DATA_AT + 64].fill(9);
        quote.extend(body);
        quote.extend(3u32.to_le_bytes());
        quote.extend([1, 2, 3, 0, 0]);
        quote
    }

    #[test]
    fn fields_stand_where_intel_puts_them() {
        for quote in [shaped(4, BODY_10_BYTES), shaped(5, BODY_10_BYTES), shaped(5, BODY_15_BYTES)] {
            let parsed = Quote::parse(&quote).unwrap();
            assert_eq!((parsed.mrtd, parsed.report_data), (&[7; 48], &[9; 64]));
            assert_eq!((parsed.rtmr, parsed.attributes), ([&[0; 48]; 4], 0));
            assert!(matches!(parsed.version, 4 | 5));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let quote = shaped(4, BODY_10_BYTES);
        for end in 0..quote.len() - 2 {
            assert!(Quote::parse(&quote[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn other_formats_are_refused() {
        let change = |at: usize, value: u8| {
            let mut quote = shaped(4, BODY_10_BYTES);
            quote[at] = value;
            Quote::parse(&quote).map(|_| ()).unwrap_err()
        };
        assert_eq!(change(0, 3), malformed("version is neither 4 nor 5"));
        assert_eq!(change(2, 3), malformed("not signed with ECDSA P-256"));
        assert_eq!(change(4, 0), malformed("TEE type is not 0x81"));
        assert_eq!(change(12, 0), malformed("not made by Intel's quoting enclave"));
        let mut trailing = shaped(4, BODY_10_BYTES);
        *trailing.last_mut().unwrap() = 1;
        assert_eq!(Quote::parse(&trailing).unwrap_err(), malformed("bytes after the signature data"));
        let mut huge = shaped(5, BODY_15_BYTES);
        huge[HEADER_BYTES + 2..HEADER_BYTES + 6].fill(0xff);
        assert_eq!(Quote::parse(&huge).unwrap_err(), malformed("body size does not fit its type"));
    }
}
