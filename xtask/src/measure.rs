//! `cargo xtask measure`: builds `licen-compute`, the program that custodians give keys to, so that a
//! stranger gets the same bytes, and prints what a stranger has to repeat.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::json;

use crate::elf;
use crate::run::{Outcome, cargo, root, run, target};

const USAGE: &str = "usage: cargo xtask measure [--json] [--once] [--dirty]";
/// The one triple that is measured: both TEEs are x86-64, and the image's C library is glibc.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Folders of different lengths, so that a path which got into the program shows; names that no
/// program has in it by chance.
const FOLDERS: [&str; 2] = ["measured-here", "measured-there/at-the-end-of-a-longer-path"];
/// What a build may know of its machine: where its tools are, and how to reach the registry.
const KEPT: [&str; 15] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_NET_OFFLINE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

#[derive(Default)]
struct Options {
    json: bool,
    once: bool,
    dirty: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        for arg in args {
            match arg.as_str() {
                "--json" => options.json = true,
                "--once" => options.once = true,
                "--dirty" => options.dirty = true,
                other => return Err(format!("{other}: unknown\n\nhint: {USAGE}")),
            }
        }
        Ok(options)
    }
}

/// The commit, and whether tracked files differ from it.
struct Tree {
    commit: String,
    dirty: bool,
}

/// One finished build.
struct Build {
    program: PathBuf,
    bytes: Vec<u8>,
    seconds: f64,
}

/// `cargo xtask measure`.
pub(crate) fn measure(args: &[String]) -> Outcome {
    let options = Options::parse(args)?;
    let tree = tree()?;
    if tree.dirty && !options.dirty {
        return Err("tracked files differ from the commit, so nobody could repeat this measurement\n\n\
                    hint: commit first, or measure --dirty"
            .into());
    }
    // Cargo reads configuration from every folder above the one it runs in, so builds run in /.
    for name in ["/.cargo/config.toml", "/.cargo/config"] {
        if Path::new(name).exists() {
            return Err(format!("{name} would change the measurement\n\nhint: move it away"));
        }
    }
    let place = target().join("measure");
    fs::create_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
    let place = place.canonicalize().map_err(|e| format!("{}: {e}", place.display()))?;
    let machine = Machine::new(&place)?;
    let count = if options.once { 1 } else { FOLDERS.len() };
    let folders: Vec<PathBuf> = FOLDERS.iter().take(count).map(|name| place.join(name)).collect();
    // All of them before the first build, so that an edit meanwhile is in none of them.
    for folder in &folders {
        let _ = fs::remove_dir_all(folder);
        copy_tracked(&folder.join("sources"))?;
    }
    let mut builds = Vec::new();
    for folder in &folders {
        builds.push(machine.build(folder)?);
    }
    if let [one, other] = builds.as_slice()
        && one.bytes != other.bytes
    {
        let differences = elf::differences(&one.bytes, &other.bytes).join("\n  ");
        let (one, other) = (one.program.display(), other.program.display());
        return Err(format!("the two builds differ:\n  {differences}\n\nhint: compare {one} with {other}"));
    }
    let leaks = leaks(&builds[0].bytes, &machine.private(&place));
    if !leaks.is_empty() {
        return Err(format!("the program names the machine it was built on: {}", leaks.join(", ")));
    }
    let program = place.join("licen-compute");
    fs::copy(&builds[0].program, &program).map_err(|e| format!("{}: {e}", program.display()))?;
    for name in FOLDERS {
        // What is left of a build is hundreds of megabytes that nobody reads again.
        let _ = fs::remove_dir_all(place.join(name.split('/').next().unwrap_or(name)));
    }
    report(&options, &tree, &machine, &builds, &program)
}

fn report(options: &Options, tree: &Tree, machine: &Machine, builds: &[Build], program: &Path) -> Outcome {
    let hash = sha256(program)?;
    let bytes = builds[0].bytes.len();
    let seconds: Vec<u64> = builds.iter().map(|build| build.seconds as u64).collect();
    if options.json {
        let record = json!({
            "program": "licen-compute", "sha256": hash, "bytes": bytes,
            "commit": tree.commit, "dirty": tree.dirty, "target": TRIPLE,
            "rustc": machine.rustc, "cc": machine.cc, "libc": machine.libc,
            "builds": builds.len(), "seconds": seconds, "file": program,
        });
        println!("{record}");
        return Ok(());
    }
    let dirty = if tree.dirty { ", with changes that are not committed" } else { "" };
    let repeated = match builds.len() {
        1 => "built once: nothing was compared".to_string(),
        n => format!("{n} builds in different folders, identical"),
    };
    println!("commit   {}{dirty}", tree.commit);
    println!("target   {TRIPLE}");
    println!("rustc    {}", machine.rustc);
    println!("cc       {}", machine.cc);
    println!("libc     {}", machine.libc);
    println!("builds   {repeated}; {seconds:?} seconds");
    println!("file     {}", program.display());
    println!("size     {bytes}");
    println!("sha256   {hash}");
    Ok(())
}

/// The tools and folders of the machine that builds.
struct Machine {
    rustc: String,
    cc: String,
    libc: String,
    /// Cargo's own folder for these builds: the user's downloads, without the user's configuration.
    home: PathBuf,
    /// Where those downloads really are.
    registry: PathBuf,
    sysroot: PathBuf,
    commit_hash: String,
}

impl Machine {
    fn new(place: &Path) -> Result<Self, String> {
        let version = said(kept(&mut Command::new("rustc")).arg("-vV"))?;
        let field = |name: &str| {
            let value = version.lines().find_map(|line| line.strip_prefix(name));
            value.map(str::to_string).ok_or_else(|| format!("rustc -vV does not say {name}"))
        };
        let (home, registry) = own_cargo_home(place)?;
        Ok(Self {
            rustc: version.lines().next().unwrap_or_default().to_string(),
            commit_hash: field("commit-hash: ")?,
            cc: said(kept(&mut Command::new("cc")).arg("--version"))?
                .lines()
                .next()
                .unwrap_or_default()
                .to_string(),
            libc: said(kept(&mut Command::new("getconf")).arg("GNU_LIBC_VERSION"))?,
            sysroot: PathBuf::from(said(kept(&mut Command::new("rustc")).args(["--print", "sysroot"]))?),
            home,
            registry,
        })
    }

    /// Builds the sources in `folder`.
    fn build(&self, folder: &Path) -> Result<Build, String> {
        let began = Instant::now();
        let (sources, output) = (folder.join("sources"), folder.join("target"));
        let mut command = Command::new(cargo().get_program());
        kept(&mut command).current_dir("/");
        for (name, value) in self.environment(&sources, &output) {
            command.env(name, value);
        }
        command.args(["build", "--quiet", "--package", "licen-compute", "--bin", "licen-compute"]);
        command.args(["--release", "--locked", "--target", TRIPLE]);
        command.args(["--config", "profile.release.strip=\"symbols\""]);
        command.arg("--manifest-path").arg(sources.join("Cargo.toml"));
        command.arg("--target-dir").arg(&output);
        run(&format!("cargo build --release -p licen-compute, in {}", folder.display()), &mut command)?;
        let program = output.join(TRIPLE).join("release/licen-compute");
        let bytes = fs::read(&program).map_err(|e| format!("{}: {e}", program.display()))?;
        Ok(Build { program, bytes, seconds: began.elapsed().as_secs_f64() })
    }

    /// Everything that the compilers take from their environment.
    fn environment(&self, sources: &Path, output: &Path) -> Vec<(&'static str, String)> {
        let mapped: Vec<String> = self
            .mapped(sources, output)
            .iter()
            .map(|(from, to)| format!("{}={to}", from.display()))
            .collect();
        let mut rust: Vec<String> = mapped.iter().map(|map| format!("--remap-path-prefix={map}")).collect();
        // Said although they are defaults, because defaults of compilers and distributions change.
        rust.extend(
            ["-Ctarget-cpu=x86-64", "-Clinker=cc", "-Clink-arg=-Wl,--build-id=none"].map(String::from),
        );
        let c: Vec<String> = mapped.iter().map(|map| format!("-ffile-prefix-map={map}")).collect();
        let c = c.join(" ");
        vec![
            ("CARGO_HOME", self.home.display().to_string()),
            ("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}")),
            ("CARGO_INCREMENTAL", "0".into()),
            ("CFLAGS", c.clone()),
            ("CXXFLAGS", c),
            ("CC", "cc".into()),
            ("CXX", "c++".into()),
            ("AR", "ar".into()),
            ("SOURCE_DATE_EPOCH", "0".into()),
            ("ZERO_AR_DATE", "1".into()),
            ("LC_ALL", "C".into()),
            ("TZ", "UTC".into()),
        ]
    }

    /// Folders of this machine, and the names that the program may have in it instead.
    fn mapped(&self, sources: &Path, output: &Path) -> Vec<(PathBuf, String)> {
        vec![
            (sources.to_path_buf(), "/licen".into()),
            (output.to_path_buf(), "/licen/target".into()),
            (self.registry.clone(), "/cargo/registry".into()),
            (self.home.join("registry"), "/cargo/registry".into()),
            // What rustc itself writes where the component rust-src is not installed.
            (self.sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{}", self.commit_hash)),
        ]
    }

    /// Text that must not be in the program.
    fn private(&self, place: &Path) -> Vec<String> {
        let mut names: Vec<String> = [place, &root(), &self.home, &self.registry, &self.sysroot]
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        names.extend(FOLDERS.iter().flat_map(|name| name.split('/')).map(str::to_string));
        // With slashes, since a user may be called like a word that any program has in it.
        names.extend(std::env::var("HOME").map(|home| format!("{}/", home.trim_end_matches('/'))));
        names.extend(std::env::var("USER").map(|user| format!("/{user}/")));
        names.retain(|name| name.len() > 2);
        names
    }
}

/// Keeps of the environment only what a build needs: flags and wrappers of the user's would change it.
fn kept(command: &mut Command) -> &mut Command {
    command.env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A folder for cargo that shares the user's downloads and nothing else, and where those lie.
fn own_cargo_home(place: &Path) -> Result<(PathBuf, PathBuf), String> {
    let of_user = match (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME")) {
        (Some(home), _) => PathBuf::from(home),
        (None, Some(home)) => PathBuf::from(home).join(".cargo"),
        (None, None) => return Err("neither CARGO_HOME nor HOME is set".into()),
    };
    let (home, registry) = (place.join("cargo-home"), of_user.join("registry"));
    let link = home.join("registry");
    fs::create_dir_all(&registry)
        .and_then(|()| fs::create_dir_all(&home))
        .and_then(|()| {
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&registry, &link)
        })
        .map_err(|e| format!("{}: {e}", link.display()))?;
    let registry = registry.canonicalize().map_err(|e| format!("{}: {e}", registry.display()))?;
    Ok((home, registry))
}

fn git() -> Command {
    let mut command = Command::new("git");
    command.current_dir(root());
    command
}

fn tree() -> Result<Tree, String> {
    let commit = said(git().args(["rev-parse", "HEAD"]))?;
    let changed = said(git().args(["status", "--porcelain", "--untracked-files=no"]))?;
    Ok(Tree { commit, dirty: !changed.is_empty() })
}

/// Copies every tracked file as it is in the working tree: what is not tracked cannot be repeated.
fn copy_tracked(to: &Path) -> Outcome {
    let listed = said(git().args(["ls-files", "-z"]))?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root().join(name), to.join(name));
        let copied = fs::create_dir_all(to.parent().unwrap_or(&to)).and_then(|()| fs::copy(&from, &to));
        copied.map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// What a program prints, trimmed.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().map_err(|e| format!("{name}: {e}"))?;
    if !status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_string())
}

/// By the tool that a stranger would use.
fn sha256(file: &Path) -> Result<String, String> {
    let line = said(Command::new("sha256sum").arg(file))?;
    line.split_whitespace().next().map(str::to_string).ok_or_else(|| "sha256sum said nothing".into())
}

/// The names that occur in the program.
fn leaks(program: &[u8], names: &[String]) -> Vec<String> {
    let holds = |name: &&String| program.windows(name.len()).any(|window| window == name.as_bytes());
    names.iter().filter(holds).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_machine_inside_a_program_is_found() {
        let names = ["/home/ada/".to_string(), "measured-here".to_string()];
        assert!(leaks(b"\0/licen/crates/compute\0/home/adam\0", &names).is_empty());
        assert_eq!(leaks(b"\0at /home/ada/licen\0", &names), ["/home/ada/"]);
        assert_eq!(leaks(b"measured-here", &names), ["measured-here"]);
    }

    #[test]
    fn flags_of_the_user_do_not_reach_a_build() {
        let mut command = Command::new("env");
        command.env("RUSTFLAGS", "-Ctarget-cpu=native").env("CFLAGS", "-O0");
        let environment = said(kept(&mut command)).unwrap();
        assert!(environment.lines().any(|line| line.starts_with("PATH=")), "{environment}");
        let names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.iter().all(|name| KEPT.contains(name)), "{names:?}");
    }

    #[test]
    fn options_that_do_not_exist_are_refused() {
        let parse =
            |args: &[&str]| Options::parse(&args.iter().map(|a| (*a).to_string()).collect::<Vec<_>>());
        assert!(parse(&["--once", "--json"]).is_ok_and(|o| o.once && o.json && !o.dirty));
        assert!(parse(&["--twice"]).is_err());
    }
}
