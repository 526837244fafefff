//! The node's list of base models: a name, a root, a size. A JSON file, written atomically.

use std::path::PathBuf;
use std::sync::Mutex;

use licen_core::wire::node::ModelInfo;

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// Most models of one node.
const MAX_MODELS: usize = 1_000;

/// Why a model was not added.
#[derive(Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// Its name is another's.
    Taken(String),
    /// The list takes no more.
    NoRoom(String),
}

/// The list.
#[derive(Debug)]
pub struct Models {
    path: PathBuf,
    list: Mutex<Vec<ModelInfo>>,
}

impl Models {
    /// Reads the list; a missing file is an empty list.
    ///
    /// # Errors
    /// The file is not a list of models.
    pub fn open(path: PathBuf) -> Outcome<Self> {
        let list = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                CliError::environment(codes::FILE, format!("{} is not a list of models", path.display()))
                    .because(&e)
            })?,
            Err(_) => Vec::new(),
        };
        Ok(Self { path, list: Mutex::new(list) })
    }

    /// Every model, with the speed the node's compute measured.
    #[must_use]
    pub fn all(&self, tokens_per_second: f64) -> Vec<ModelInfo> {
        let list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.iter().map(|m| ModelInfo { tokens_per_second, ..m.clone() }).collect()
    }

    /// Adds a model; what was added before stays what it was.
    ///
    /// # Errors
    /// Another model has the name, the list is full or cannot be written.
    pub fn add(&self, model: ModelInfo) -> Result<(), NotAdded> {
        let mut list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Whoever pays for training on a name means what stood behind it when they looked.
        if let Some(known) =
            list.iter().find(|m| m.name == model.name && m.base_model_root != model.base_model_root)
        {
            return Err(NotAdded::Taken(format!(
                "{} is the base model {}",
                known.name, known.base_model_root
            )));
        }
        let mut next: Vec<ModelInfo> = list.iter().filter(|m| m.name != model.name).cloned().collect();
        if next.len() >= MAX_MODELS {
            return Err(NotAdded::NoRoom(format!("the list holds {MAX_MODELS} models already")));
        }
        next.push(model);
        let bytes = serde_json::to_vec_pretty(&next).map_err(|e| NotAdded::NoRoom(e.to_string()))?;
        let beside = self.path.with_extension("tmp");
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, &self.path))
            .map_err(|e| NotAdded::NoRoom(e.to_string()))?;
        *list = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use licen_core::primitives::B256;

    #[test]
    fn a_name_stays_the_model_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let models = Models::open(dir.path().join("models.json")).unwrap();
        let tiny = |root: u8| ModelInfo {
            name: "tiny".into(),
            base_model_root: B256::repeat_byte(root),
            bytes: 1,
            tokenizer_hash: B256::ZERO,
            tokens_per_second: 0.0,
        };
        models.add(tiny(1)).unwrap();
        models.add(tiny(1)).unwrap();
        assert!(matches!(models.add(tiny(2)), Err(NotAdded::Taken(_))));
        let kept = Models::open(dir.path().join("models.json")).unwrap().all(0.0);
        assert_eq!(kept.iter().map(|m| m.base_model_root).collect::<Vec<_>>(), [B256::repeat_byte(1)]);
    }
}
