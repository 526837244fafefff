//! `licen model add | list`.

use std::path::Path;

use licen_core::primitives::keccak256;
use licen_core::wire::node::ModelInfo;
use serde_json::json;

use crate::cli::ModelCommand;
use crate::session::error::{CliError, Outcome};
use crate::session::storage::storage_error;
use crate::session::{Session, codes};

/// Runs one of the two.
///
/// # Errors
/// The directory is not a model, or the node does not answer.
pub async fn run(session: &Session, command: &ModelCommand) -> Outcome {
    match command {
        ModelCommand::List => list(session).await,
        ModelCommand::Add { dir, name } => {
            let name = match name {
                Some(name) => name.clone(),
                None => dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            };
            let model = add(session, dir, &name).await?;
            session
                .ui
                .record(&json!({"name": name, "baseModelRoot": model.base_model_root, "bytes": model.bytes}));
            session.ui.data(&model.base_model_root.to_string());
            Ok(())
        }
    }
}

async fn list(session: &Session) -> Outcome {
    for model in session.node()?.models().await? {
        session.ui.record(&json!({
            "name": model.name, "baseModelRoot": model.base_model_root, "bytes": model.bytes,
            "tokensPerSecond": model.tokens_per_second
        }));
        let speed = match model.tokens_per_second {
            s if s > 0.0 => format!("{s:.0} tokens/s"),
            _ => "speed not measured yet".to_string(),
        };
        session.ui.data(&format!(
            "{:<12} {}  {:>12} bytes  {speed}",
            model.name, model.base_model_root, model.bytes
        ));
    }
    Ok(())
}

/// Packs a Hugging Face directory, uploads it, and tells the node its name.
///
/// # Errors
/// A file a model needs is missing.
pub async fn add(session: &Session, dir: &Path, name: &str) -> Outcome<ModelInfo> {
    let shown = dir.display();
    for needed in ["config.json", "tokenizer.json"] {
        if !dir.join(needed).is_file() {
            return Err(CliError::environment(codes::NO_MODEL, format!("{shown} has no {needed}"))
                .hint("give a Hugging Face model directory: config.json, *.safetensors, tokenizer.json"));
        }
    }
    let weights = std::fs::read_dir(dir).into_iter().flatten().flatten();
    if !weights.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|e| e == "safetensors")) {
        return Err(CliError::environment(codes::NO_MODEL, format!("{shown} has no *.safetensors"))
            .hint("give a Hugging Face model directory: config.json, *.safetensors, tokenizer.json"));
    }
    for needed in ["config.json", "tokenizer.json"] {
        // A model that cannot be read would be found out by compute, after the escrow.
        let text = std::fs::read(dir.join(needed)).unwrap_or_default();
        if let Err(e) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text) {
            let message = format!("{shown}/{needed} is not a JSON object");
            return Err(CliError::environment(codes::NO_MODEL, message)
                .because(&e)
                .hint("download the model again"));
        }
    }
    let tokenizer = std::fs::read(dir.join("tokenizer.json")).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot read {shown}/tokenizer.json")).because(&e)
    })?;
    let packed = session.config.state_dir()?.join(format!("model-{}.tar", keccak256(name)));
    let file = std::fs::File::create(&packed).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot write {}", packed.display())).because(&e)
    })?;
    let done = upload(session, dir, &packed, file).await;
    let _ = std::fs::remove_file(&packed);
    let (base_model_root, bytes) = done?;
    let model = ModelInfo {
        name: name.to_string(),
        base_model_root,
        bytes,
        tokens_per_second: 0.0,
        tokenizer_hash: keccak256(tokenizer),
    };
    session.node()?.add_model(&model).await?;
    Ok(model)
}

async fn upload(
    session: &Session,
    dir: &Path,
    packed: &Path,
    file: std::fs::File,
) -> Outcome<(licen_core::primitives::B256, u64)> {
    licen_seal::tar::pack(dir, file).map_err(|e| CliError::of(codes::FILE, "cannot pack the model", &e))?;
    let tree = licen_storage::root::of_path(packed, |_| {})
        .map_err(|e| storage_error("cannot hash the model", &e))?;
    let bytes = std::fs::metadata(packed).map(|m| m.len()).unwrap_or_default();
    session.put_file(tree.root, packed).await?;
    Ok((tree.root, bytes))
}
