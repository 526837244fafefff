//! Tensors from safetensors files that nobody vouches for: every size is checked before a byte is read, and only
//! f32, bf16 and f16 are known. Pickles are never opened.

use crate::error::{Error, Result, io_at};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zeroize::Zeroize;

/// The longest header read, in bytes.
const HEADER_MAX: u64 = 64 << 20;

/// One safetensors file: its header is in memory, its tensors stay on disk.
struct Shard {
    path: PathBuf,
    file: File,
    data_at: u64,
    metadata: Metadata,
}

/// The tensors of a model or adapter folder by name.
pub(crate) struct TensorStore {
    shards: Vec<Shard>,
    shard_of: BTreeMap<String, usize>,
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl TensorStore {
    /// Opens `model.safetensors`, or every file that `model.safetensors.index.json` names.
    pub(crate) fn open_model(dir: &Path) -> Result<Self> {
        let single = dir.join("model.safetensors");
        let index_path = dir.join("model.safetensors.index.json");
        if single.exists() || !index_path.exists() {
            return TensorStore::open(&single);
        }
        let text = read_text(&index_path)?;
        let index: Index = serde_json::from_str(&text)
            .map_err(|e| Error::Weights(format!("model.safetensors.index.json: {e}")))?;
        let mut store = TensorStore { shards: Vec::new(), shard_of: BTreeMap::new() };
        let mut opened = BTreeMap::new();
        for (tensor, file) in index.weight_map {
            let shard = match opened.get(&file) {
                Some(&shard) => shard,
                None => {
                    let plain = !file.contains(['/', '\\']) && file.ends_with(".safetensors");
                    if !plain {
                        return Err(Error::Weights(format!(
                            "the index names `{file}`, which is no plain file name"
                        )));
                    }
                    store.shards.push(Shard::open(&dir.join(&file))?);
                    opened.insert(file, store.shards.len() - 1);
                    store.shards.len() - 1
                }
            };
            store.shard_of.insert(tensor, shard);
        }
        Ok(store)
    }

    /// Opens one file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let shard = Shard::open(path)?;
        let names = shard.metadata.tensors().into_keys();
        Ok(TensorStore { shard_of: names.map(|name| (name, 0)).collect(), shards: vec![shard] })
    }

    /// Every tensor name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.shard_of.keys().map(String::as_str)
    }

    /// Whether the store has the tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.shard_of.contains_key(name)
    }

    /// Reads a tensor of exactly `shape` as f32.
    pub(crate) fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.check(name, shape)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        self.read_into(name, shape, &mut values)?;
        Ok(values)
    }

    /// Appends a tensor of exactly `shape` to `values`.
    pub(crate) fn read_into(&mut self, name: &str, shape: &[usize], values: &mut Vec<f32>) -> Result<()> {
        let info = self.check(name, shape)?;
        let width = match info.dtype {
            Dtype::F32 => 4,
            Dtype::BF16 | Dtype::F16 => 2,
            other => {
                return Err(Error::Weights(format!(
                    "tensor `{name}` is {other:?}, expected f32, bf16 or f16"
                )));
            }
        };
        self.stream(name, |bytes| {
            let chunks = bytes.chunks_exact(width);
            match info.dtype {
                Dtype::F32 => values.extend(chunks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
                Dtype::BF16 => values.extend(chunks.map(|b| bf16_to_f32(u16::from_le_bytes([b[0], b[1]])))),
                _ => values.extend(chunks.map(|b| f16_to_f32(u16::from_le_bytes([b[0], b[1]])))),
            }
        })?;
        if values.iter().rev().take(shape.iter().product()).any(|v| !v.is_finite()) {
            return Err(Error::Weights(format!("tensor `{name}` holds a value that is not finite")));
        }
        Ok(())
    }

    /// Refuses a tensor of another shape, before room is made for it: what a file has fits into its length.
    pub(crate) fn check(&self, name: &str, shape: &[usize]) -> Result<TensorInfo> {
        let info = self.info(name)?;
        if info.shape != shape {
            let (have, want) = (&info.shape, shape);
            return Err(Error::Weights(format!("tensor `{name}` has shape {have:?}, expected {want:?}")));
        }
        Ok(info)
    }

    /// Reads an int64 tensor with its shape.
    pub(crate) fn read_i64(&mut self, name: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        let info = self.info(name)?;
        if info.dtype != Dtype::I64 {
            return Err(Error::Weights(format!("tensor `{name}` is {:?}, expected int64", info.dtype)));
        }
        let mut values = Vec::new();
        self.stream(name, |bytes| {
            values.extend(bytes.chunks_exact(8).map(|b| {
                let mut word = [0; 8];
                word.copy_from_slice(b);
                i64::from_le_bytes(word)
            }));
        })?;
        Ok((info.shape, values))
    }

    fn info(&self, name: &str) -> Result<TensorInfo> {
        let missing = || Error::Weights(format!("tensor `{name}` is missing"));
        let shard = self.shard_of.get(name).ok_or_else(missing)?;
        self.shards[*shard].metadata.info(name).cloned().ok_or_else(missing)
    }

    /// Feeds the bytes of a tensor in pieces of a multiple of 8 bytes (the last may be shorter).
    fn stream(&mut self, name: &str, mut take: impl FnMut(&[u8])) -> Result<()> {
        let info = self.info(name)?;
        let shard = &mut self.shards[self.shard_of[name]];
        let (start, end) = info.data_offsets;
        let path = shard.path.clone();
        let at = SeekFrom::Start(shard.data_at + start as u64);
        shard.file.seek(at).map_err(io_at(&path))?;
        let mut left = end - start;
        let mut buffer = vec![0; left.min(1 << 20)];
        while left > 0 {
            let piece = left.min(buffer.len());
            shard.file.read_exact(&mut buffer[..piece]).map_err(io_at(&path))?;
            take(&buffer[..piece]);
            left -= piece;
        }
        Ok(())
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let refuse = |reason: String| Error::Weights(format!("{name}: {reason}"));
        let mut file = File::open(path).map_err(io_at(path))?;
        let length = file.metadata().map_err(io_at(path))?.len();
        let mut prefix = [0; 8];
        if length < 8 {
            return Err(refuse("the file is shorter than its header".to_owned()));
        }
        file.read_exact(&mut prefix).map_err(io_at(path))?;
        let header = u64::from_le_bytes(prefix);
        if header > HEADER_MAX || header > length - 8 {
            return Err(refuse(format!("the header says {header} bytes, the file has {length}")));
        }
        let mut bytes = vec![0; header as usize];
        file.read_exact(&mut bytes).map_err(io_at(path))?;
        // Reading the header checks that the tensors lie one after another and fill the sizes of their shapes.
        let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
        let end = (metadata.data_len() as u64).saturating_add(8 + header);
        if end != length {
            return Err(refuse(format!("the tensors end at byte {end}, the file at {length}")));
        }
        Ok(Shard { path: path.to_path_buf(), file, data_at: 8 + header, metadata })
    }
}

/// The longest JSON or text file of a model folder, in bytes: tokenizer.json of large vocabularies is about 35 MB.
const TEXT_MAX: u64 = 64 << 20;

/// Reads a UTF-8 file of a model folder, refusing what is too large to be one.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path).map_err(io_at(path))?.len();
    if length > TEXT_MAX {
        let reason = std::io::Error::other(format!("{length} bytes, at most {TEXT_MAX} are read"));
        return Err(io_at(path)(reason));
    }
    std::fs::read_to_string(path).map_err(io_at(path))
}

/// Writes tensors, sorted by name, to safetensors bytes with the header metadata that PyTorch loaders expect. Wipes
/// what it took.
pub(crate) fn to_safetensors(mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>) -> Result<Vec<u8>> {
    let mut views = Vec::new();
    for (name, dtype, shape, bytes) in &tensors {
        let view = safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|e| Error::Weights(e.to_string()))?;
        views.push((name, view));
    }
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let written = safetensors::serialize(views, Some(metadata)).map_err(|e| Error::Weights(e.to_string()));
    tensors.iter_mut().for_each(|(.., bytes)| bytes.zeroize());
    written
}

fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to the nearest bf16, ties to even.
pub(crate) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let round = 0x7FFF + ((bits >> 16) & 1);
    ((bits + round) >> 16) as u16
}

fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1F;
    let fraction = u32::from(bits & 0x3FF);
    match exponent {
        0 => f32::from_bits(sign | 0x3F80_0000) * (fraction as f32 / 16_777_216.0),
        31 => f32::from_bits(sign | 0x7F80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_values() {
        assert_eq!(f16_to_f32(0x3C00), 1.0);
        assert_eq!(f16_to_f32(0xC000), -2.0);
        assert_eq!(f16_to_f32(0x0001), 5.960_464_5e-8);
        assert_eq!(f16_to_f32(0x7BFF), 65504.0);
        assert!(f16_to_f32(0x7E00).is_nan());
        assert_eq!(bf16_to_f32(0x3F80), 1.0);
        assert_eq!(f32_to_bf16(1.0), 0x3F80);
        assert_eq!(f32_to_bf16(f32::from_bits(0x3F80_8000)), 0x3F80);
        assert_eq!(f32_to_bf16(f32::from_bits(0x3F81_8000)), 0x3F82);
    }

    #[test]
    fn hostile_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let good = to_safetensors(vec![("a".to_owned(), Dtype::F32, vec![2], vec![0; 8])]).unwrap();
        let header = |json: &str, data: usize| {
            let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
            bytes.extend(json.bytes());
            bytes.extend(vec![0; data]);
            bytes
        };
        let overflow =
            format!(r#"{{"a":{{"dtype":"F32","shape":[{},{}],"data_offsets":[0,8]}}}}"#, u64::MAX, 2);
        for (bytes, part) in [
            (vec![], "shorter"),
            (u64::MAX.to_le_bytes().to_vec(), "the header says"),
            (good[..good.len() - 1].to_vec(), "the tensors end"),
            (header("{}x", 0), "model.safetensors:"),
            (header(&overflow, 8), "model.safetensors:"),
            (header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800]}}"#, 8), "model.safetensors:"),
            (header(r#"{"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}"#, 16), "expected f32"),
            (header(r#"{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#, 8), "has shape"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let result = TensorStore::open_model(dir.path()).and_then(|mut s| s.read("a", &[2]));
            let message = result.unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let mut nan = good.clone();
        let last = nan.len() - 4;
        nan[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&path, nan).unwrap();
        let mut store = TensorStore::open_model(dir.path()).unwrap();
        assert!(store.read("a", &[2]).unwrap_err().to_string().contains("not finite"));
        assert!(store.read("b", &[2]).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn tensors_that_overlap_or_leave_gaps_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let tensor = |name: &str, from: u64, to: u64| {
            format!(r#""{name}":{{"dtype":"F32","shape":[2],"data_offsets":[{from},{to}]}}"#)
        };
        let max = u64::MAX;
        for (a, b) in [
            ((0, 8), (0, 8)),
            ((0, 8), (4, 12)),
            ((0, 8), (12, 20)),
            ((8, 0), (8, 16)),
            ((max - 7, max), (0, 8)),
        ] {
            let json = format!("{{{},{}}}", tensor("a", a.0, a.1), tensor("b", b.0, b.1));
            let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
            bytes.extend(json.bytes());
            bytes.extend([0; 16]);
            std::fs::write(&path, bytes).unwrap();
            let refused = TensorStore::open_model(dir.path()).err();
            assert!(matches!(refused, Some(Error::Weights(_))), "{a:?} {b:?}: {refused:?}");
        }
    }

    #[test]
    fn a_shape_larger_than_its_file_makes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = to_safetensors(vec![("a".to_owned(), Dtype::F32, vec![2], vec![0; 8])]).unwrap();
        std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
        let mut store = TensorStore::open_model(dir.path()).unwrap();
        // 2^60 numbers: room for them would end the process.
        assert!(matches!(store.read("a", &[1 << 30, 1 << 30]), Err(Error::Weights(_))));
    }

    #[test]
    fn an_index_cannot_leave_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map":{"a":"../secret.safetensors"}}"#;
        std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
        let message = TensorStore::open_model(dir.path()).err().unwrap().to_string();
        assert!(message.contains("no plain file name"), "{message}");
    }
}
