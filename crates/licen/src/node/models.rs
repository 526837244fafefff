//! The node's list of base models: a name, a root, a size. A JSON file, written atomically.

use std::path::PathBuf;
use std::sync::Mutex;

use licen_core::wire::node::ModelInfo;

use crate::codes;
use crate::error::{CliError, Outcome};

/// Most models of one node.
const MAX_MODELS: usize = 1_000;

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

    /// Adds a model, or replaces the one of the same name.
    ///
    /// # Errors
    /// The list is full or cannot be written.
    pub fn add(&self, model: ModelInfo) -> Result<(), String> {
        let mut list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next: Vec<ModelInfo> = list.iter().filter(|m| m.name != model.name).cloned().collect();
        if next.len() >= MAX_MODELS {
            return Err(format!("the list holds {MAX_MODELS} models already"));
        }
        next.push(model);
        let bytes = serde_json::to_vec_pretty(&next).map_err(|e| e.to_string())?;
        let beside = self.path.with_extension("tmp");
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, &self.path))
            .map_err(|e| e.to_string())?;
        *list = next;
        Ok(())
    }
}
