//! What a trainer and a node cannot do, tried from inside: tests start this program again, which confines itself by the
//! same functions and then makes the attempts.

mod trainer_process;

use std::ffi::CString;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use licen_compute::sandbox::{NodeNeeds, enter_node, enter_trainer};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::json;
use trainer_process::{PROGRAM, Trainer, command, tiny};

const SECRET: &str = "/etc/passwd";

/// Runs the ignored test `name` of this program in a process of its own.
fn inside(name: &str) {
    let me = std::env::current_exe().unwrap();
    let done = Command::new(me).args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("1 passed"), "{out}\n{err}");
    assert!(err.contains("attempts refused"), "{err}");
}

/// Attempts that were refused, each by EPERM, EACCES or ENOSYS.
#[derive(Default)]
struct Refused(Vec<&'static str>);

impl Refused {
    fn note(&mut self, what: &'static str, result: i64) {
        let error = std::io::Error::last_os_error();
        assert_eq!(result, -1, "{what} was allowed");
        let code = error.raw_os_error().unwrap();
        assert!([libc::EPERM, libc::EACCES, libc::ENOSYS].contains(&code), "{what}: {error}");
        self.0.push(what);
    }

    fn open(&mut self, what: &'static str, path: &str, flags: i32) {
        let path = CString::new(path).unwrap();
        // SAFETY: the path is a C string that outlives the call.
        self.note(what, unsafe { libc::open(path.as_ptr(), flags, 0o600) }.into());
    }

    fn call(&mut self, what: &'static str, number: libc::c_long, arguments: [usize; 4]) {
        let [a, b, c, d] = arguments;
        // SAFETY: arguments are numbers, null pointers or pointers to C strings that live long enough.
        self.note(what, unsafe { libc::syscall(number, a, b, c, d) });
    }

    fn tell(self) {
        eprintln!("{} attempts refused: {}", self.0.len(), self.0.join(", "));
    }
}

fn try_processes(refused: &mut Refused) {
    let me = std::process::id() as usize;
    refused.call("ptrace", libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, 1, 0, 0]);
    refused.call("process_vm_readv", libc::SYS_process_vm_readv, [me, 0, 0, 0]);
    refused.call("process_vm_writev", libc::SYS_process_vm_writev, [me, 0, 0, 0]);
    refused.call("io_uring_setup", libc::SYS_io_uring_setup, [8, 0, 0, 0]);
    refused.call("memfd_create", libc::SYS_memfd_create, [c"x".as_ptr() as usize, 0, 0, 0]);
    refused.call("bpf", libc::SYS_bpf, [0, 0, 0, 0]);
    refused.call("userfaultfd", libc::SYS_userfaultfd, [0; 4]);
    refused.call("perf_event_open", libc::SYS_perf_event_open, [0; 4]);
    refused.call("kexec_load", libc::SYS_kexec_load, [0; 4]);
    refused.call("init_module", libc::SYS_init_module, [0; 4]);
    refused.call("mount", libc::SYS_mount, [0; 4]);
    refused.call("unshare", libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0]);
    refused.call("setns", libc::SYS_setns, [0; 4]);
    refused.call("keyctl", libc::SYS_keyctl, [0; 4]);
    refused.call("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 4]);
}

fn try_network_and_programs(refused: &mut Refused) {
    let (stream, datagram) = (libc::SOCK_STREAM as usize, libc::SOCK_DGRAM as usize);
    for (what, family, kind) in [
        ("socket(AF_INET)", libc::AF_INET, stream),
        ("socket(AF_INET, udp)", libc::AF_INET, datagram),
        ("socket(AF_INET6)", libc::AF_INET6, stream),
        ("socket(AF_UNIX)", libc::AF_UNIX, stream),
        ("socket(AF_NETLINK)", libc::AF_NETLINK, datagram),
        ("socket(AF_PACKET)", libc::AF_PACKET, datagram),
        ("socket(AF_VSOCK)", libc::AF_VSOCK, stream),
    ] {
        refused.call(what, libc::SYS_socket, [family as usize, kind, 0, 0]);
    }
    refused.call("socketpair", libc::SYS_socketpair, [libc::AF_UNIX as usize, stream, 0, 0]);
    let program = c"/bin/true".as_ptr() as usize;
    refused.call("execve", libc::SYS_execve, [program, 0, 0, 0]);
    refused.call("execveat", libc::SYS_execveat, [libc::AT_FDCWD as usize, program, 0, 0]);
    refused.call("fork", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0]);
    refused.call("clone3", libc::SYS_clone3, [0; 4]);
    // SAFETY: signal 0 tests whether a signal could be sent.
    refused.note("kill", unsafe { libc::kill(libc::getppid(), 0) }.into());
    refused.call("pidfd_open", libc::SYS_pidfd_open, [1, 0, 0, 0]);
    refused.call("memfd_secret", libc::SYS_memfd_secret, [0; 4]);
    refused.call("openat2", libc::SYS_openat2, [0; 4]);
    refused.call("prctl(PR_SET_DUMPABLE)", libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0]);
    refused.call("seccomp", libc::SYS_seccomp, [0; 4]);
    refused.call("prlimit64", libc::SYS_prlimit64, [0, libc::RLIMIT_DATA as usize, 0, 0]);
    refused.call("shmget", libc::SYS_shmget, [0, 4096, 0o1600, 0]);
    refused.call("fcntl(F_SETOWN)", libc::SYS_fcntl, [1, libc::F_SETOWN as usize, 1, 0]);
    refused.call("fcntl(O_ASYNC)", libc::SYS_fcntl, [1, libc::F_SETFL as usize, libc::O_ASYNC as usize, 0]);
    refused.call("ioctl", libc::SYS_ioctl, [0, libc::TIOCSTI as usize, 0, 0]);
    let execute = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let mapped = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, execute, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    refused.note("mmap(PROT_EXEC)", if mapped == libc::MAP_FAILED { -1 } else { 0 });
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: as above.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, shared, -1, 0) };
    refused.note("mmap(MAP_SHARED)", if mapped == libc::MAP_FAILED { -1 } else { 0 });
    let page = vec![0_u8; 8192];
    let at = (page.as_ptr() as usize).next_multiple_of(4096);
    refused.call("mprotect(PROT_EXEC)", libc::SYS_mprotect, [at, 4096, execute as usize, 0]);
}

#[test]
#[ignore = "run in a process of its own by a_trainer_reads_one_folder_and_reaches_nothing_else"]
fn probe_of_a_trainer() {
    let base = tiny();
    let mut pipe_before = std::fs::File::open(SECRET).unwrap();
    assert!(enter_trainer(&base, 1 << 30).unwrap().by_kernel());
    let mut refused = Refused::default();
    refused.open("open /etc/passwd", SECRET, libc::O_RDONLY);
    refused.open("open /proc/self/maps", "/proc/self/maps", libc::O_RDONLY);
    refused.open("open /proc/self/mem", "/proc/self/mem", libc::O_RDWR);
    refused.open("open /dev/null", "/dev/null", libc::O_RDONLY);
    refused.open("list /", "/", libc::O_RDONLY | libc::O_DIRECTORY);
    refused.open("write to /tmp", "/tmp/licen-probe", libc::O_WRONLY | libc::O_CREAT);
    let inside = base.join("config.json");
    refused.open("write to the model", inside.to_str().unwrap(), libc::O_WRONLY);
    let beside = base.join("new").to_str().unwrap().to_owned();
    refused.open("write beside the model", &beside, libc::O_WRONLY | libc::O_CREAT);
    let outside = base.join("../../Cargo.toml").to_str().unwrap().to_owned();
    refused.open("leave the folder", &outside, libc::O_RDONLY);
    try_processes(&mut refused);
    try_network_and_programs(&mut refused);
    // What was open before is closed: reading it gives an error and no secret.
    assert!(std::io::Read::read(&mut pipe_before, &mut [0; 16]).is_err());
    std::mem::forget(pipe_before);
    // What training needs is there.
    std::fs::read(&inside).unwrap();
    let sum: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8_u64).map(|i| scope.spawn(move || vec![i; 1 << 20].iter().sum::<u64>())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sum, 28 << 20);
    let mut huge: Vec<u8> = Vec::new();
    assert!(huge.try_reserve_exact(2 << 30).is_err(), "more memory than the limit");
    refused.tell();
}

#[test]
fn a_trainer_reads_one_folder_and_reaches_nothing_else() {
    inside("probe_of_a_trainer");
}

#[test]
#[ignore = "run in a process of its own by a_node_keeps_to_its_folder_and_its_ports"]
fn probe_of_a_node() {
    let work = tempfile::tempdir().unwrap();
    let (peer, stranger) = (listener(), listener());
    let port = |of: &std::net::TcpListener| of.local_addr().unwrap().port();
    let needs = NodeNeeds {
        work_dir: work.path().to_path_buf(),
        read: vec![tiny().join("config.json")],
        listen: 0,
        connect: Some(vec![port(&peer)]),
    };
    assert!(enter_node(&needs).unwrap().by_kernel());
    let mut refused = Refused::default();
    refused.open("open /etc/passwd", SECRET, libc::O_RDONLY);
    refused.open("write to /tmp", "/tmp/licen-probe", libc::O_WRONLY | libc::O_CREAT);
    let other = tiny().join("tokenizer.json").to_str().unwrap().to_owned();
    refused.open("open what was not named", &other, libc::O_RDONLY);
    try_processes(&mut refused);
    let program = c"/bin/true".as_ptr() as usize;
    refused.call("execve", libc::SYS_execve, [program, 0, 0, 0]);
    let error = std::net::TcpStream::connect(stranger.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES), "another port");
    let error =
        std::net::TcpListener::bind(("127.0.0.1", port(&stranger).wrapping_add(1).max(1024))).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES), "listening elsewhere");
    // What a node needs is there: its folder, its peers, its program once more.
    std::net::TcpStream::connect(peer.local_addr().unwrap()).unwrap();
    std::fs::create_dir(work.path().join("a")).unwrap();
    std::fs::write(work.path().join("a/b"), b"x").unwrap();
    std::fs::rename(work.path().join("a/b"), work.path().join("c")).unwrap();
    std::fs::read(&needs.read[0]).unwrap();
    let again = Command::new("/proc/self/exe").arg("--list").stdout(Stdio::null()).status().unwrap();
    assert!(again.success());
    refused.tell();
}

fn listener() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_node_keeps_to_its_folder_and_its_ports() {
    inside("probe_of_a_node");
}

/// Threads, allocator and the whole engine under the allow-list; and confinement changes no byte.
#[test]
fn training_inside_is_training_outside() {
    let row = |i: u32| {
        format!("{}\n", json!({"prompt": format!("Q: {i}? A:"), "completion": format!(" {}", i * 7)}))
    };
    let rows: String = (0..24).map(row).collect();
    let settings = json!({"lora_r": 2, "max_seq_length": 64, "num_train_epochs": 2, "eval_fraction": 0.25, "seed": 7,
        "batch_size": 4, "gradient_accumulation_steps": 1});
    let adapter = |threads| {
        let files = Trainer::train(&tiny(), &settings, threads, &rows);
        files.into_iter().find(|(name, _)| name == "adapter_model.safetensors").unwrap().1
    };
    let (one, many) = (adapter(1), adapter(8));
    let params = licen_train::TrainingParams::parse(&settings.to_string()).unwrap();
    let model = licen_train::Model::load(&tiny()).unwrap();
    let encoder = licen_train::Encoder::load(&tiny()).unwrap();
    let parsed = licen_train::jsonl::parse(rows.as_bytes(), 10_000).unwrap();
    let samples = encoder.encode(&parsed, params.max_seq_length).unwrap();
    let split = licen_train::Split::new(samples, params.eval_fraction, params.seed);
    let outside = licen_train::train(&model, &split, &params, None, &mut ()).unwrap();
    let outside = outside.adapter.to_safetensors().unwrap();
    assert!(one == outside && many == outside, "the same bytes");
}

fn status_of(pid: u32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.split(':').next() == Some(field))?;
    Some(line.split_whitespace().nth(1)?.to_owned())
}

#[test]
fn the_real_trainer_is_confined_before_it_is_given_anything() {
    let trainer = Trainer::start(&tiny());
    let pid = trainer.0.id();
    assert_eq!(status_of(pid, "NoNewPrivs").as_deref(), Some("1"));
    assert_eq!(status_of(pid, "Seccomp").as_deref(), Some("2"), "a filter");
    assert_eq!(status_of(pid, "CoreDumping").as_deref(), Some("0"));
    // Readable by root only, since the process is not dumpable.
    if let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) {
        let mut files: Vec<String> =
            files.map(|f| f.unwrap().file_name().to_string_lossy().into_owned()).collect();
        files.sort();
        assert_eq!(files, ["0", "1", "2"]);
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert_eq!(environment, b"", "no environment");
    }
    assert_eq!(trainer.end().code(), Some(0), "it ends when its pipe is closed");
}

#[test]
fn a_trainer_dies_with_the_thread_that_started_it() {
    let mut child = std::thread::spawn(|| {
        let mut trainer = Trainer::start(&tiny());
        trainer.load(&json!({})).unwrap();
        trainer.0
    })
    .join()
    .unwrap();
    let pipe = child.stdin.take();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    drop(pipe);
}

/// A filter that answers these calls as a kernel without them would.
fn lacking(calls: &[libc::c_long]) -> BpfProgram {
    let rules = calls.iter().map(|call| (*call, vec![])).collect();
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, missing, arch).unwrap().try_into().unwrap()
}

fn without(mut command: Command, calls: &[libc::c_long]) -> Command {
    let filter = lacking(calls);
    let apply = move || seccompiler::apply_filter(&filter).map_err(|_| std::io::Error::other("no filter"));
    // SAFETY: between fork and exec it makes two system calls with memory that was prepared before.
    unsafe { command.pre_exec(apply) };
    command
}

const LANDLOCK: [libc::c_long; 3] =
    [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

#[test]
fn a_trainer_that_cannot_be_confined_does_not_run() {
    for (calls, what) in
        [(&LANDLOCK[..], "Landlock"), (&LANDLOCK[1..2], "Landlock"), (&LANDLOCK[2..], "Landlock")]
    {
        let mut trainer = Trainer(without(command(&tiny()), calls).spawn().unwrap());
        let report = trainer.hear().unwrap();
        assert!(report["Refused"]["message"].as_str().unwrap().contains(what), "{report}");
        assert!(trainer.hear().is_none(), "nothing follows");
        assert_eq!(trainer.0.wait().unwrap().code(), Some(2));
    }
    let mut trainer = Trainer(without(command(&tiny()), &[libc::SYS_seccomp]).spawn().unwrap());
    let report = trainer.hear().unwrap();
    assert!(report["Refused"]["message"].as_str().unwrap().contains("seccomp"), "{report}");
    assert_eq!(trainer.0.wait().unwrap().code(), Some(2));
}

fn serving(dir: &Path) -> Command {
    let config = dir.join("compute.json");
    let mut file = std::fs::File::create(&config).unwrap();
    write!(file, "{}", json!({"listen": "127.0.0.1:0", "workDir": dir.join("work")})).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg("--config").arg(config).stderr(Stdio::piped());
    command
}

#[test]
fn a_node_without_a_sandbox_serves_only_where_it_was_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let refused = without(serving(dir.path()), &LANDLOCK).output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("LIC0804") && message.contains("--no-sandbox"), "{message}");
    let mut told = serving(dir.path());
    told.arg("--no-sandbox");
    let log = log_until(without(told, &LANDLOCK), "NO SANDBOX");
    assert!(log.contains("listening"), "{log}");
}

#[test]
fn the_real_node_is_confined() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = serving(dir.path()).spawn().unwrap();
    let pid = node.id();
    let log = until(&mut node, "SIMULATED TEE");
    let found = [status_of(pid, "NoNewPrivs"), status_of(pid, "Seccomp")];
    node.kill().unwrap();
    node.wait().unwrap();
    assert_eq!(found.map(Option::unwrap), ["1", "2"], "{log}");
    assert!(!log.contains("NO SANDBOX"));
}

fn log_until(mut command: Command, words: &str) -> String {
    let mut node = command.spawn().unwrap();
    let log = until(&mut node, words);
    node.kill().unwrap();
    node.wait().unwrap();
    log
}

fn until(node: &mut std::process::Child, words: &str) -> String {
    use std::io::BufRead;
    let mut log = String::new();
    let mut lines = std::io::BufReader::new(node.stderr.take().unwrap()).lines();
    while !log.contains(words) {
        let Some(Ok(line)) = lines.next() else { panic!("the node ended: {log}") };
        log += &line;
        log += "\n";
    }
    log
}
