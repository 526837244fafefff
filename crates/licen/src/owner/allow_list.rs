//! Whom a policy admits, read from the flags before anything is done.

use std::io::Read;
use std::path::Path;

use licen_core::admission::{AllowList, MAX_REQUESTERS};
use licen_core::primitives::Address;

use crate::cli::AllowArgs;
use crate::session::codes;
use crate::session::error::{CliError, Outcome};
use crate::session::ledger::read_address;
use crate::session::output::Ui;
use crate::session::salt::random_salt;

/// Largest file read, bytes: room for every address and a comment beside it.
const MAX_BYTES: u64 = (MAX_REQUESTERS as u64) * 256;

/// The list that the flags make; nothing where they name none. It has a new salt every time. Says what
/// everybody will see of it.
///
/// # Errors
/// The file cannot be read, or a line of it is no address.
pub fn allow_list(ui: &Ui, args: &AllowArgs) -> Outcome<Option<AllowList>> {
    let list = read(args)?;
    if let Some(list) = &list {
        ui.progress(&told(list));
    }
    Ok(list)
}

fn told(list: &AllowList) -> String {
    match list.requesters.len() {
        0 => "Only whom you approve may request it; approvals are public".into(),
        1 => "Only 1 requester and whom you approve may request it; the list is public".into(),
        n => format!("Only {n} requesters and whom you approve may request it; the list is public"),
    }
}

fn read(args: &AllowArgs) -> Outcome<Option<AllowList>> {
    let requesters = match &args.allow {
        Some(path) => requesters(path)?,
        None if args.by_approval => Vec::new(),
        None => return Ok(None),
    };
    let list = AllowList::new(random_salt()?, requesters).map_err(|e| {
        CliError::refused(codes::POLICY_INVALID, format!("the allow-list is not usable: {e}"))
    })?;
    Ok(Some(list))
}

fn requesters(path: &Path) -> Outcome<Vec<Address>> {
    let shown = path.display();
    let cannot = |e: &std::io::Error| {
        CliError::environment(codes::FILE, format!("cannot read {shown}"))
            .because(e)
            .hint("--allow takes a text file with one address a line")
    };
    let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| cannot(&e))?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!("{shown} is longer than {MAX_BYTES} bytes");
        return Err(CliError::refused(codes::POLICY_INVALID, message)
            .hint(format!("a list has at most {MAX_REQUESTERS} requesters, one a line")));
    }
    let requesters = parse(&text).map_err(|(line, what)| {
        CliError::refused(codes::POLICY_INVALID, format!("{shown} line {line}: {what}"))
            .hint("one address a line, 0x and 40 hex digits; # begins a comment")
    })?;
    if requesters.is_empty() {
        return Err(CliError::refused(codes::POLICY_INVALID, format!("{shown} names no requester"))
            .hint("--by-approval admits nobody but whom you approve"));
    }
    Ok(requesters)
}

/// Addresses of the lines; else the number of the first line that is wrong, and what it is instead.
fn parse(text: &str) -> Result<Vec<Address>, (usize, String)> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim().trim_start_matches('\u{feff}');
        if line.is_empty() {
            continue;
        }
        all.push(address(line).map_err(|what| (number, what))?);
    }
    Ok(all)
}

/// An address as people type it. Written in both cases its letters are a checksum, which must hold.
///
/// # Errors
/// What it is instead.
pub fn address(text: &str) -> Result<Address, String> {
    let address = read_address(text)?;
    if address.is_zero() { Err("the zero address is nobody's".into()) } else { Ok(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn a_file_has_one_address_a_line() {
        let text = format!("# who may\n\n{A}   # the lab\r\n  {}\n", A.to_lowercase());
        assert_eq!(parse(&text).unwrap(), [A.parse::<Address>().unwrap(); 2]);
        assert!(parse("# nobody\n").unwrap().is_empty());
    }

    #[test]
    fn the_first_wrong_line_is_named() {
        for wrong in [
            "0x12",
            "lab",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            &format!("{A} {A}"),
            "0x",
            "0x0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        ] {
            let (line, what) = parse(&format!("{A}\n\n{wrong}\n0x13\n")).unwrap_err();
            assert_eq!((line, what), (3, format!("{wrong:?} is not an address")), "{wrong}");
        }
        let zero = format!("0x{}", "0".repeat(40));
        assert_eq!(parse(&zero).unwrap_err(), (1, "the zero address is nobody's".into()));
    }

    #[test]
    fn a_mistyped_letter_does_not_admit_a_stranger() {
        assert!(address(A).is_ok() && address(&A.to_lowercase()).is_ok());
        let wrong = A.replace("5aA", "5aa");
        assert!(address(&wrong).unwrap_err().contains("wrong case"));
    }

    #[test]
    fn every_list_is_another_one() {
        let args = AllowArgs { allow: None, by_approval: true };
        let (a, b) = (read(&args).unwrap().unwrap(), read(&args).unwrap().unwrap());
        assert!(a.requesters.is_empty() && a.root() != b.root());
        assert_eq!(read(&AllowArgs::default()).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_no_list_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allow.txt");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&AllowArgs { allow: Some(path.clone()), by_approval: false }).unwrap_err();
            (error.code, error.message)
        };
        assert!(refused(b"# nobody\n").1.ends_with("names no requester"));
        assert!(refused(b"0x1\n").1.contains("line 1"));
        assert_eq!(refused(&[0xff]).0, codes::FILE);
        assert!(refused(&vec![b'#'; usize::try_from(MAX_BYTES).unwrap() + 1]).1.contains("longer than"));
        std::fs::remove_file(&path).unwrap();
        let gone = read(&AllowArgs { allow: Some(path.clone()), by_approval: false }).unwrap_err();
        assert_eq!(gone.code, codes::FILE);
    }
}
