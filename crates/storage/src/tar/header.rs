use super::BLOCK;

// Field positions of a ustar header (POSIX.1-1988).
const NAME: usize = 100;
const SIZE: std::ops::Range<usize> = 124..135;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const PREFIX: std::ops::Range<usize> = 345..500;

/// The header of a file, or `None` if the path fits nowhere.
pub(super) fn encode(path: &str, size: u64) -> Option<[u8; BLOCK]> {
    let (prefix, name) = split(path)?;
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(NAME, b"0000644\0"); // mode
    put(108, b"0000000\0"); // uid
    put(116, b"0000000\0"); // gid
    put(SIZE.start, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0"); // mtime
    put(CHECKSUM.start, &[b' '; 8]);
    put(156, b"0"); // regular file
    put(257, b"ustar\x0000");
    put(329, b"0000000\0"); // device, major
    put(337, b"0000000\0"); // device, minor
    put(PREFIX.start, prefix.as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

/// Path and size as a header says them. Whether it says them canonically is for the caller to find
/// out by encoding them again.
pub(super) fn decode(header: &[u8; BLOCK]) -> Option<(String, u64)> {
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8(bytes[..end].to_vec()).ok()
    };
    let name = text(&header[..NAME])?;
    let prefix = text(&header[PREFIX])?;
    let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    let size = u64::from_str_radix(&text(&header[SIZE])?, 8).ok()?;
    Some((path, size))
}

/// Up to 100 bytes stand in the name. A longer path is cut at the first slash that leaves a name that
/// fits: one place only, so one header only.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME {
        return Some(("", path));
    }
    let cuts = path.match_indices('/').map(|(at, _)| (&path[..at], &path[at + 1..]));
    let (prefix, name) = cuts.into_iter().find(|(_, name)| name.len() <= NAME)?;
    (prefix.len() <= PREFIX.len()).then_some((prefix, name))
}
