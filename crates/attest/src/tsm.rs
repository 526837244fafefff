//! The kernel's interface to the TEE that a guest runs in (Linux `Documentation/ABI/testing/
//! configfs-tsm-report`): a folder per request, 64 bytes into `inblob`, evidence out of `outblob`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::AttestError;

/// Where the kernel mounts it.
pub(crate) const REPORTS: &str = "/sys/kernel/config/tsm/report";
/// `provider` of a trust domain, and of an SNP guest.
pub(crate) const TDX_PROVIDER: &str = "tdx_guest";
pub(crate) const SNP_PROVIDER: &str = "sev_guest";

/// What the kernel handed out for one request.
pub(crate) struct Report {
    /// The quote or report.
    pub(crate) outblob: Vec<u8>,
    /// Certificates beside it; empty where there are none.
    pub(crate) auxblob: Vec<u8>,
}

/// A request's folder; it goes when the request is done.
struct Entry(PathBuf);

impl Drop for Entry {
    fn drop(&mut self) {
        // In configfs `rmdir` takes the attributes with it.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Evidence that binds `data`, out of the interface under `reports`.
pub(crate) fn request(reports: &Path, provider: &str, data: &[u8; 64]) -> Result<Report, AttestError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = reports.join(format!("licen-{}-{number}", std::process::id()));
    fs::create_dir(&folder).map_err(|source| AttestError::Tsm { path: folder.clone(), source })?;
    let entry = Entry(folder);
    read(&entry.0, provider, data)
}

/// The exchange inside one folder. `generation` counts writes: 1 before and after the report is read
/// means that it answers our one write, and nobody else's.
fn read(folder: &Path, provider: &str, data: &[u8; 64]) -> Result<Report, AttestError> {
    let text = |name: &str| -> Result<String, AttestError> {
        Ok(String::from_utf8_lossy(&file(folder, name)?).trim().to_owned())
    };
    let found = text("provider")?;
    if found != provider {
        let tee = if provider == TDX_PROVIDER { "tdx" } else { "snp" };
        return Err(AttestError::NoTee { tee, reason: format!("the kernel's TEE is {found}") });
    }
    let path = folder.join("inblob");
    fs::write(&path, data).map_err(|source| AttestError::Tsm { path, source })?;
    let outblob = file(folder, "outblob")?;
    let auxblob = match file(folder, "auxblob") {
        Err(AttestError::Tsm { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let generation = text("generation")?;
    if generation != "1" {
        return Err(AttestError::Generation(generation));
    }
    Ok(Report { outblob, auxblob })
}

fn file(folder: &Path, name: &str) -> Result<Vec<u8>, AttestError> {
    let path = folder.join(name);
    fs::read(&path).map_err(|source| AttestError::Tsm { path, source })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A folder as the kernel would show it, with a report that is there already.
    pub(crate) fn folder(
        provider: &str,
        generation: &str,
        outblob: &[u8],
        auxblob: &[u8],
    ) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("provider"), format!("{provider}\n")).unwrap();
        fs::write(folder.path().join("generation"), format!("{generation}\n")).unwrap();
        fs::write(folder.path().join("outblob"), outblob).unwrap();
        fs::write(folder.path().join("auxblob"), auxblob).unwrap();
        folder
    }

    #[test]
    fn a_report_is_the_answer_to_our_write() {
        let folder = folder(TDX_PROVIDER, "1", b"quote", b"");
        let report = read(folder.path(), TDX_PROVIDER, &[7; 64]).unwrap();
        assert_eq!((report.outblob.as_slice(), report.auxblob.len()), (b"quote".as_slice(), 0));
        assert_eq!(fs::read(folder.path().join("inblob")).unwrap(), [7; 64]);
    }

    #[test]
    fn a_report_that_somebody_else_asked_for_in_between_is_not_ours() {
        let folder = folder(TDX_PROVIDER, "2", b"quote", b"");
        let error = read(folder.path(), TDX_PROVIDER, &[7; 64]).err().unwrap();
        assert!(matches!(error, AttestError::Generation(found) if found == "2"));
    }

    #[test]
    fn another_tee_is_named() {
        let folder = folder(SNP_PROVIDER, "1", b"report", b"");
        let error = read(folder.path(), TDX_PROVIDER, &[7; 64]).err().unwrap();
        assert_eq!(error.to_string(), "no tdx here: the kernel's TEE is sev_guest");
    }

    #[test]
    fn a_missing_file_is_named_and_the_folder_goes() {
        let reports = tempfile::tempdir().unwrap();
        let error = request(reports.path(), TDX_PROVIDER, &[7; 64]).err().unwrap();
        assert!(error.to_string().ends_with("provider: No such file or directory (os error 2)"), "{error}");
        assert_eq!(fs::read_dir(reports.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_certificates_beside_the_report_are_no_error() {
        let folder = folder(SNP_PROVIDER, "1", b"report", b"x");
        fs::remove_file(folder.path().join("auxblob")).unwrap();
        assert!(read(folder.path(), SNP_PROVIDER, &[7; 64]).unwrap().auxblob.is_empty());
    }
}
