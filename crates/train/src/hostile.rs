//! What a base model's folder must not hold: weights as pickles and code. Neither is ever opened or run here, but whoever
//! uses the folder elsewhere might, and a folder without them is what this engine computes with.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result, io_at};

/// Python's pickles by the names that PyTorch, scikit-learn and NumPy give them.
const PICKLES: [&str; 10] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle", "joblib", "npy", "npz", "msgpack"];
/// What can be run.
const CODE: [&str; 8] = ["py", "pyc", "pyd", "so", "dll", "dylib", "sh", "ipynb"];
/// Entries of a folder and of the folders in it, at most.
const ENTRIES_MAX: usize = 4096;
const DEPTH_MAX: usize = 8;

/// Refuses pickles, code, links and special files, by name and kind; nothing is opened.
///
/// # Errors
/// [`Error::Weights`], [`Error::Io`].
pub(crate) fn check_folder(dir: &Path) -> Result<()> {
    let mut left = ENTRIES_MAX;
    check(dir, DEPTH_MAX, &mut left)
}

fn check(dir: &Path, depth: usize, left: &mut usize) -> Result<()> {
    let refuse = |reason: String| Err(Error::Weights(reason));
    for entry in std::fs::read_dir(dir).map_err(io_at(dir))? {
        let entry = entry.map_err(io_at(dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(io_at(dir))?;
        *left = left.saturating_sub(1);
        if *left == 0 {
            return refuse(format!("the folder has more than {ENTRIES_MAX} files"));
        }
        if kind.is_dir() {
            if depth == 0 {
                return refuse("folders lie in one another too deeply".to_owned());
            }
            check(&entry.path(), depth - 1, left)?;
            continue;
        }
        if !kind.is_file() {
            return refuse(format!("`{name}` is a link or no file"));
        }
        let ending = entry.path().extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if PICKLES.contains(&ending.as_str()) {
            return refuse(format!(
                "`{name}` may be a pickle, which can run code; only safetensors are read"
            ));
        }
        if CODE.contains(&ending.as_str()) {
            return refuse(format!("`{name}` is code, and no model's code is run"));
        }
    }
    Ok(())
}

/// What in a JSON file of a model asks for code of the model to be run.
pub(crate) fn asks_for_code(json: &Value) -> Option<&'static str> {
    let given = |name: &&str| match json.get(*name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    };
    ["auto_map", "trust_remote_code", "custom_pipelines"].into_iter().find(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(name: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("model.safetensors"), b"").unwrap();
        check_folder(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join(name), b"").unwrap();
        check_folder(dir.path()).unwrap_err().to_string()
    }

    #[test]
    fn pickled_weights_are_refused() {
        for name in ["pytorch_model.bin", "sub/optimizer.PT", "data.pkl", "model.ckpt"] {
            assert!(refusal(name).contains("pickle"), "{name}");
        }
    }

    #[test]
    fn code_of_a_model_is_refused() {
        for name in ["modeling_llama.py", "sub/kernel.so", "setup.sh"] {
            assert!(refusal(name).contains("code"), "{name}");
        }
    }

    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("vocab.json")).unwrap();
        assert!(check_folder(dir.path()).unwrap_err().to_string().contains("link"));
    }

    #[test]
    fn a_folder_of_countless_or_deeply_laid_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..ENTRIES_MAX {
            std::fs::write(dir.path().join(i.to_string()), b"").unwrap();
        }
        assert!(check_folder(dir.path()).unwrap_err().to_string().contains("more than"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("d/".repeat(DEPTH_MAX + 1))).unwrap();
        assert!(check_folder(dir.path()).unwrap_err().to_string().contains("deeply"));
    }

    #[test]
    fn remote_code_is_asked_for_by_name() {
        assert_eq!(asks_for_code(&json!({"auto_map": {"AutoModel": "evil--x.Model"}})), Some("auto_map"));
        assert_eq!(asks_for_code(&json!({"trust_remote_code": true})), Some("trust_remote_code"));
        let harmless = json!({"auto_map": {}, "trust_remote_code": false, "custom_pipelines": null});
        assert_eq!(asks_for_code(&harmless), None);
    }
}
