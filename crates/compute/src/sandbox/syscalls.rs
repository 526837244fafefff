//! seccomp: which system calls may be made. The trainer's filter is an allow-list, the node's a deny-list, because what
//! an HTTP stack, a resolver and an allocator call differs by version; what the list names is refused with EPERM.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::SandboxError;

type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// What training needs whatever the arguments are. Opening is bounded by Landlock.
const TRAINER: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_openat,
    libc::SYS_getdents64,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    // memory
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_getrandom,
    // threads
    libc::SYS_clone3, // answered as unknown by a filter of its own
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_membarrier,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // time
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
];

/// What a node never calls and an intruder would: other processes, other users' rights, the kernel itself.
const NODE_NEVER: &[libc::c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_bpf,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_fanotify_init,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_capset,
    libc::SYS_mknodat,
    libc::SYS_memfd_create,
];

fn failed(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Calls(error.to_string())
}

fn always(calls: &[libc::c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// Where argument `index` under `mask` is `value`.
fn only(index: u8, mask: u64, value: u64) -> Result<Vec<SeccompRule>, SandboxError> {
    let same = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, same, value).map_err(failed)?;
    Ok(vec![SeccompRule::new(vec![condition]).map_err(failed)?])
}

/// Where every condition holds: (argument, mask, value).
fn all(conditions: &[(u8, u64, u64)]) -> Result<SeccompRule, SandboxError> {
    let condition = |&(index, mask, value): &(u8, u64, u64)| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
    };
    let conditions = conditions.iter().map(condition).collect::<Result<_, _>>().map_err(failed)?;
    SeccompRule::new(conditions).map_err(failed)
}

/// The trainer's rules, with those on arguments: no memory that can be executed or that its limit does not
/// count, threads but no processes, and signals to itself alone, which asynchronous I/O would get around.
fn trainer_rules() -> Result<Rules, SandboxError> {
    const WORD: u64 = u32::MAX as u64;
    let (execute, thread) = (libc::PROT_EXEC as u64, libc::CLONE_THREAD as u64);
    let mut rules = always(TRAINER);
    const KIND_OF_MAP: u64 = 0x0f;
    let private = libc::MAP_PRIVATE as u64;
    rules.insert(libc::SYS_mmap, vec![all(&[(2, execute, 0), (3, KIND_OF_MAP, private)])?]);
    let harmless = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];
    let harmless = harmless.map(|command| all(&[(1, WORD, command as u64)]));
    rules.insert(libc::SYS_fcntl, harmless.into_iter().collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_mprotect, only(2, execute, 0)?);
    rules.insert(libc::SYS_clone, only(0, thread, thread)?);
    rules.insert(libc::SYS_prctl, only(0, WORD, libc::PR_SET_NAME as u64)?);
    rules.insert(libc::SYS_tgkill, only(0, WORD, u64::from(std::process::id()))?);
    Ok(rules)
}

fn apply(rules: Rules, otherwise: SeccompAction, listed: SeccompAction) -> Result<(), SandboxError> {
    let arch = std::env::consts::ARCH.try_into().map_err(failed)?;
    let filter = SeccompFilter::new(rules, otherwise, listed, arch).map_err(failed)?;
    let program: BpfProgram = filter.try_into().map_err(failed)?;
    apply_filter(&program).map_err(failed)
}

fn refused() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM as u32)
}

pub(super) fn confine_trainer() -> Result<(), SandboxError> {
    // The flags of clone3 lie in memory, where no filter sees them; as an unknown call it makes the C library use clone.
    // Of two filters the stricter answer counts.
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    apply(always(&[libc::SYS_clone3]), SeccompAction::Allow, unknown)?;
    apply(trainer_rules()?, refused(), SeccompAction::Allow)
}

pub(super) fn confine_node() -> Result<(), SandboxError> {
    apply(always(NODE_NEVER), SeccompAction::Allow, refused())
}
