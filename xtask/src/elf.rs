//! Where two ELF programs differ: enough of the format to name a section.

const HEADER: usize = 0x40;
const SECTION: usize = 0x40;
/// A section without bytes in the file.
const NO_BITS: u32 = 8;
/// Bytes shown around the first difference.
const SHOWN: usize = 48;

/// A section and where its bytes lie.
struct Section {
    name: String,
    offset: usize,
    size: usize,
}

/// What differs, for people: sizes, the first byte and its section, then every section that differs.
pub(crate) fn differences(one: &[u8], other: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    if one.len() != other.len() {
        said.push(format!("{} and {} bytes", one.len(), other.len()));
    }
    let (left, right) = (sections(one).unwrap_or_default(), sections(other).unwrap_or_default());
    if let Some(at) = one.iter().zip(other).position(|(a, b)| a != b) {
        let place = left.iter().find(|s| (s.offset..s.offset + s.size).contains(&at));
        let name = place.map_or("no section", |s| s.name.as_str());
        said.push(format!("first at byte {at:#x}, in {name}: {} / {}", shown(one, at), shown(other, at)));
    }
    for section in &left {
        let Some(twin) = right.iter().find(|twin| twin.name == section.name) else {
            said.push(format!("section {} is in one of them only", section.name));
            continue;
        };
        let (a, b) = (content(one, section), content(other, twin));
        let changed = a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len());
        if changed > 0 {
            said.push(format!("section {}: {changed} of {} bytes", section.name, a.len()));
        }
    }
    let new = right.iter().filter(|twin| !left.iter().any(|section| section.name == twin.name));
    said.extend(new.map(|twin| format!("section {} is in one of them only", twin.name)));
    said
}

fn content<'a>(program: &'a [u8], section: &Section) -> &'a [u8] {
    program.get(section.offset..section.offset + section.size).unwrap_or_default()
}

/// Printable text from a little before `at` on, since what differs is mostly a path.
fn shown(program: &[u8], at: usize) -> String {
    let start = at.saturating_sub(SHOWN / 2);
    let part = program.get(start..(start + SHOWN).min(program.len())).unwrap_or_default();
    let text: String =
        part.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' }).collect();
    format!("{text:?}")
}

fn sections(program: &[u8]) -> Option<Vec<Section>> {
    if program.len() < HEADER || !program.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, count) = (long(program, 0x28)?, short(program, 0x3c)?);
    let header = |index: usize| program.get(table.checked_add(index * SECTION)?..)?.get(..SECTION);
    let names = header(short(program, 0x3e)?)?;
    let names = program.get(long(names, 24)?..)?.get(..long(names, 32)?)?;
    let mut found = Vec::new();
    for index in 1..count {
        let header = header(index)?;
        let name = names.get(word(header, 0)? as usize..)?.split(|b| *b == 0).next()?;
        let size = if word(header, 4)? == NO_BITS { 0 } else { long(header, 32)? };
        let name = String::from_utf8_lossy(name).into_owned();
        let offset = long(header, 24)?;
        offset.checked_add(size).filter(|end| *end <= program.len())?;
        found.push(Section { name, offset, size });
    }
    Some(found)
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_changed_byte_is_found_in_its_section() {
        let program = this_program();
        assert!(differences(&program, &program).is_empty());
        let sections = sections(&program).unwrap();
        for name in [".text", ".rodata", ".comment"] {
            let section = sections.iter().find(|section| section.name == name).unwrap();
            let mut other = program.clone();
            other[section.offset + section.size / 2] ^= 1;
            let said = differences(&program, &other);
            assert_eq!(said.len(), 2, "{said:?}");
            assert!(said[0].contains(&format!("in {name}: ")), "{said:?}");
            assert_eq!(said[1], format!("section {name}: 1 of {} bytes", section.size));
        }
    }

    #[test]
    fn what_is_no_program_still_differs() {
        let said = differences(b"one", b"other");
        assert_eq!(said, ["3 and 5 bytes", "first at byte 0x1, in no section: \"one\" / \"other\""]);
        let mut cut = this_program();
        let whole = cut.clone();
        cut.truncate(100);
        assert!(differences(&whole, &cut)[0].ends_with(" and 100 bytes"));
    }
}
