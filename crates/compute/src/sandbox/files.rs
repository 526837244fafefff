//! Landlock: which files may be opened, which TCP ports used. Rules for TCP (ABI 4) are a hard requirement; what newer
//! kernels add (device ioctls, abstract sockets, signals) is taken where it is there.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};

use super::{NodeNeeds, SandboxError};

const REQUIRED: ABI = ABI::V4;
const WANTED: ABI = ABI::V6;

/// Public files that resolving a host name reads, and an HTTP client that was built with TLS for another program.
const PUBLIC: [&str; 11] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/run/systemd/resolve",
    "/etc/ld.so.cache",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// Where hardware gives evidence.
const EVIDENCE: [&str; 4] =
    ["/sys/kernel/config/tsm", "/dev/tdx_guest", "/dev/sev-guest", "/sys/firmware/acpi/tables"];

fn failed(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Files(error.to_string())
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// One folder to read, and nothing else.
pub(super) fn confine_trainer(base: &Path) -> Result<(), SandboxError> {
    let base = PathFd::new(base).map_err(failed)?;
    let rules = ruleset(AccessNet::from_all(REQUIRED))?;
    enforce(rules.add_rule(PathBeneath::new(base, reading())).map_err(failed)?)
}

pub(super) fn confine_node(needs: &NodeNeeds) -> Result<(), SandboxError> {
    let ports = match &needs.connect {
        Some(_) => AccessNet::BindTcp | AccessNet::ConnectTcp,
        None => AccessNet::BindTcp.into(),
    };
    let mut rules = ruleset(ports)?;
    rules = rules.add_rule(NetPort::new(needs.listen, AccessNet::BindTcp)).map_err(failed)?;
    for port in needs.connect.iter().flatten() {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(failed)?;
    }
    rules = allow(rules, &needs.work_dir, AccessFs::from_all(WANTED) & !AccessFs::Execute)?;
    for path in program_files().map_err(failed)? {
        rules = allow(rules, &path, AccessFs::ReadFile | AccessFs::Execute)?;
    }
    for path in &needs.read {
        rules = allow(rules, path, reading())?;
    }
    for path in PUBLIC {
        rules = allow(rules, Path::new(path), reading())?;
    }
    for path in EVIDENCE {
        rules = allow(rules, Path::new(path), AccessFs::from_all(WANTED) & !AccessFs::Execute)?;
    }
    // What a trainer says to nobody.
    rules = allow(rules, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    enforce(rules)
}

fn ruleset(ports: BitFlags<AccessNet>) -> Result<RulesetCreated, SandboxError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED))
        .and_then(|rules| rules.handle_access(ports))
        .and_then(|rules| {
            rules.set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(WANTED))
        })
        .and_then(|rules| rules.scope(Scope::from_all(WANTED)))
        .and_then(Ruleset::create)
        .map_err(failed)
}

/// Adds a path where it exists. Rights of folders are left out for a file.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, SandboxError> {
    let Ok(metadata) = path.metadata() else { return Ok(rules) };
    let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(WANTED) };
    rules.add_rule(PathBeneath::new(PathFd::new(path).map_err(failed)?, access)).map_err(failed)
}

fn enforce(rules: RulesetCreated) -> Result<(), SandboxError> {
    let status = rules.restrict_self().map_err(failed)?;
    match status.ruleset {
        landlock::RulesetStatus::FullyEnforced | landlock::RulesetStatus::PartiallyEnforced
            if status.no_new_privs =>
        {
            Ok(())
        }
        _ => Err(failed("the kernel does not enforce it")),
    }
}

/// The program and the libraries that it is made of: what a second copy of it opens to start.
fn program_files() -> std::io::Result<Vec<PathBuf>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut files: Vec<PathBuf> =
        maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..]))).collect();
    files.push("/proc/self/exe".into());
    files.sort();
    files.dedup();
    Ok(files)
}
