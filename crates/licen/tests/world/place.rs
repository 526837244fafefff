//! One private world for all transcripts: `licen demo --keep` as a child, found by what it prints,
//! ended by its pid.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const LICEN: &str = env!("CARGO_BIN_EXE_licen");

/// The running world.
pub struct Place {
    demo: Child,
    /// Roles that a part started itself.
    started: RefCell<Vec<(String, Child)>>,
    // Held so that the demo never writes into a closed pipe.
    _stdout: BufReader<ChildStdout>,
    /// The world's directory.
    pub dir: PathBuf,
    /// Where commands run.
    pub here: tempfile::TempDir,
    /// The demo's dataset.
    pub root: String,
    /// The demo's job.
    pub job: String,
    /// Root of that job's result.
    pub result: String,
    /// Root of that job's evidence bundle.
    pub evidence: String,
}

/// What a command said.
pub struct Said {
    /// stdout.
    pub out: String,
    /// stderr.
    pub err: String,
    /// Exit code.
    pub exit: i32,
}

impl Drop for Place {
    fn drop(&mut self) {
        for (_, child) in self.started.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Its children die with it: they ask the kernel for that when they start.
        let _ = self.demo.kill();
        let _ = self.demo.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Place {
    /// Starts a world and waits until its first job is fetched.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments of the demo.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_of(48, "1", arguments)
    }

    /// The same with a job of as many rows and epochs.
    pub fn start_of(rows: usize, epochs: &str, arguments: &[&str]) -> Self {
        let here = tempfile::tempdir().unwrap();
        let rows: String =
            (0..rows).map(|i| format!("{{\"text\": \"Sparrow {i} sits on roof {}.\"}}\n", i % 7)).collect();
        std::fs::write(here.path().join("sparrows.jsonl"), rows).unwrap();
        let mut command = Command::new(LICEN);
        command.args(["demo", "--json", "--keep", "--epochs", epochs, "--data"]);
        command.arg(here.path().join("sparrows.jsonl"));
        command.args(arguments);
        // The demo looks for anvil below the repository.
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut demo = command.spawn().expect("the demo starts");
        let mut stdout = BufReader::new(demo.stdout.take().unwrap());
        let mut steps: Vec<Value> = Vec::new();
        while steps.last().is_none_or(|step| step["step"] != "result") {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let _ = demo.wait();
                panic!("the demo ended early; its steps were {steps:#?}");
            }
            steps.push(serde_json::from_str(&line).expect("every line is JSON"));
        }
        let step =
            |name: &str| steps.iter().find(|s| s["step"] == name).unwrap_or_else(|| panic!("no {name}"));
        let text = |value: &Value| value.as_str().unwrap().to_string();
        Self {
            dir: PathBuf::from(step("fetched")["out"].as_str().unwrap()).parent().unwrap().to_path_buf(),
            root: text(&step("published")["datasetRoot"]),
            job: text(&step("result")["jobId"]),
            result: text(&step("result")["resultHash"]),
            evidence: text(&step("result")["attestationRef"]),
            demo,
            started: RefCell::default(),
            _stdout: stdout,
            here,
        }
    }

    /// A path below the directory where commands run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    /// Writes a file there.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A file that nobody else may read.
    pub fn write_private(&self, name: &str, content: impl AsRef<[u8]>) {
        self.write(name, content);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.here.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LICEN_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.here.path()).env("LICEN_CONFIG", self.dir.join("licen.toml"));
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command
    }

    fn said(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let exit = output.status.code().unwrap_or(-1);
        Said { out: text(&output.stdout), err: text(&output.stderr), exit }
    }

    /// A command that is killed as soon as one of its transactions is signed and kept, and not yet known
    /// to be mined.
    pub fn killed_while_sending(&self, args: &[&str]) {
        let mut command = self.command(LICEN, args);
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let state = self.dir.join("state-researcher");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_sending(&state) {
            assert!(Instant::now() < deadline, "nothing is sent");
            std::thread::sleep(Duration::from_millis(5));
        }
        running.kill().unwrap();
        running.wait().unwrap();
    }

    /// A command as the researcher types it.
    pub fn licen(&self, args: &[&str]) -> Said {
        Self::said(&self.command(LICEN, args).output().unwrap())
    }

    /// The same with one more environment variable.
    pub fn licen_with(&self, variable: &str, value: &Path, args: &[&str]) -> Said {
        Self::said(&self.command(LICEN, args).env(variable, value).output().unwrap())
    }

    /// Starts a custodian from its file in the world's directory, and waits until it answers.
    pub fn custodian(&self, name: &str) {
        self.role("custodian", name);
    }

    /// Starts `licen run ROLE` from a file in the world's directory, and waits until it answers.
    pub fn role(&self, role: &str, name: &str) {
        let config = self.dir.join(format!("{name}.toml"));
        let mut command = self.command(LICEN, &["run", role, "--config"]);
        command.arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        self.started.borrow_mut().push((name.to_owned(), command.spawn().unwrap()));
        let text = std::fs::read_to_string(&config).unwrap();
        let listen = text.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"');
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(listen).is_err() {
            assert!(Instant::now() < deadline, "{name} does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives an address coins of the local chain.
    pub fn fund(&self, address: &str) {
        self.rpc("anvil_setBalance", &serde_json::json!([address, "0xde0b6b3a7640000"]));
    }

    /// Puts blocks on top, so that commands believe what was just done without them.
    pub fn deepen(&self) {
        for _ in 0..3 {
            self.rpc("evm_mine", &serde_json::json!([]));
        }
    }

    /// Calls a method of the local chain, which must not answer an error; gives the answer.
    pub fn rpc(&self, method: &str, params: &Value) -> Value {
        let answer = self.rpc_answer(method, params);
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    /// The same where an error is an answer as well.
    pub fn rpc_answer(&self, method: &str, params: &Value) -> Value {
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post("rpc", "/", &body)
    }

    /// Posts to a setting that is a URL; gives the answer, whatever its status.
    pub fn post(&self, setting: &str, path: &str, body: &Value) -> Value {
        let (url, body) = (self.setting(setting), body.to_string());
        let host = url.trim_start_matches("http://").to_owned();
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
        write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    /// Ends a custodian that [`Self::custodian`] started.
    pub fn end_started(&self, name: &str) {
        let mut started = self.started.borrow_mut();
        let at = started.iter().position(|(known, _)| known == name).expect("it was started");
        let (_, mut child) = started.remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A command as somebody else of the world types it: `deployer`, `operator`, `owner`.
    pub fn licen_as(&self, who: &str, args: &[&str]) -> Said {
        let wallet = self.dir.join(format!("{who}.key")).display().to_string();
        self.licen(&[&["--wallet", &wallet], args].concat())
    }

    /// A command as the owner types it.
    pub fn owner(&self, args: &[&str]) -> Said {
        self.licen_as("owner", args)
    }

    /// A command that can write no file past `blocks` x 512 bytes: what a full disk does to it.
    pub fn licen_on_full_disk(&self, blocks: u32, args: &[&str]) -> Said {
        // The signal is ignored, so that the write fails as on a full disk and the program goes on.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let all = [&["-c", &script, LICEN], args].concat();
        // Through cat, because the limit is on files, not on pipes, and stdout may be either.
        Self::said(&self.command("bash", &all).output().unwrap())
    }

    /// Everything a command said, with what differs between worlds replaced.
    pub fn transcript(&self, said: &Said) -> String {
        let mut text = format!("{}{}exit {}\n", said.out, said.err, said.exit);
        let replaced = [
            (self.dir.display().to_string(), "WORLD"),
            (self.here.path().display().to_string(), "HERE"),
            (self.setting("node"), "NODE"),
            (self.setting("rpc"), "RPC"),
        ];
        for (from, to) in replaced {
            text = text.replace(&from, to);
        }
        plain(&text)
    }

    /// A setting of the world's licen.toml; the first of a list.
    pub fn setting(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.dir.join("licen.toml")).unwrap();
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split('"').nth(1).unwrap().to_string()
    }

    /// Ends one program of the world, found among the demo's children by its configuration file.
    pub fn end(&self, name: &str) {
        let wanted = format!("{name}.toml");
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            // pid (command) state parent ...; a command may hold spaces, so the part after it counts.
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if parent == self.demo.id().to_string() && line.contains(&wanted) {
                let pid = entry.file_name().into_string().unwrap();
                assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
                std::thread::sleep(std::time::Duration::from_millis(200));
                return;
            }
        }
        panic!("no child of the demo runs with {wanted}");
    }

    /// The node's file of a blob.
    pub fn stored(&self, root: &str) -> PathBuf {
        let digits = root.trim_start_matches("0x");
        self.dir.join("node/blobs/blobs").join(&digits[..2]).join(digits)
    }
}

/// What a number may be of that another trainer or machine changes.
const MEASURED: [&str; 6] = [
    " bytes hash",
    " bytes are stored",
    " bytes, verified",
    " text tokens",
    " s on this node",
    " compute seconds",
];

/// Text with what differs between worlds replaced: `0x` and 6 or more hex digits become `0x..`, Unix
/// times `TIME`, sizes and speeds `N`.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("0x").map_or(0, |r| r.bytes().take_while(u8::is_ascii_hexdigit).count());
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let measured = digits > 0 && MEASURED.iter().any(|unit| rest[digits..].starts_with(unit));
        if hex >= 6 {
            out.push_str("0x..");
            rest = &rest[2 + hex..];
            if let Some(after) = rest.strip_prefix('…') {
                rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            }
        } else if digits > 0 && (out.ends_with("loss ") || out.ends_with("loss N -> ")) {
            out.push('N');
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        } else if digits == 10 && rest.starts_with("17") {
            out.push_str("TIME");
            rest = &rest[digits..];
        } else if measured {
            out.push('N');
            rest = &rest[digits..];
        } else if digits > 0 {
            out.push_str(&rest[..digits]);
            rest = &rest[digits..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn is_sending(state: &Path) -> bool {
    let open = |entry: &Value| entry["intent"]["outcome"].is_null() && entry["attempts"][0].is_object();
    let journal = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok();
    let journals = std::fs::read_dir(state).into_iter().flatten().flatten().map(|entry| entry.path());
    journals
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(journal)
        .any(|journal| journal["entries"].as_array().is_some_and(|entries| entries.iter().any(open)))
}
