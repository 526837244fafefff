//! Configuration: embedded defaults < `$XDG_CONFIG_HOME/licen/config.toml` < `./licen.toml` (or the
//! file named by `LICEN_CONFIG`) < `LICEN_*` < flags. Every value knows where it came from. Secrets
//! are key files named by path, never values.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml::Value;

use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// The settings and their defaults; an empty string means "not set".
const DEFAULTS: [(&str, &str, &str); 10] = [
    ("node", "http://127.0.0.1:8080", "base URL of the node that serves GraphQL, blobs and models"),
    ("rpc", "http://127.0.0.1:8545", "RPC URLs of the chain, separated by commas; two or more must agree"),
    ("confirmations", "2", "blocks that must lie on top of what is believed"),
    (
        "deployment",
        "",
        "deployment.json that pins chain id, genesis and contracts; else the node's, pinned at first use",
    ),
    (
        "contract",
        "",
        "DataPolicy to publish at, and to prefer where a dataset is registered at several; else the newest",
    ),
    ("wallet", "", "key file that signs transactions"),
    ("state", "", "directory for pending transactions and result keys; else $XDG_STATE_HOME/licen"),
    ("custodian_set", "", "custodian set that `publish` seals to"),
    ("appraisal_policy", "", "appraisal policy that `publish` demands of compute"),
    ("color", "auto", "auto, always or never; NO_COLOR wins"),
];

/// One setting.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The value as text.
    pub value: String,
    /// `default`, a file, a variable or `flag`.
    pub origin: String,
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    settings: BTreeMap<String, Setting>,
}

/// A file that is read because of the directory one stands in decides which custodians get a key: it has
/// to be the user's own.
fn must_be_ours(path: &Path) -> Outcome {
    let shown = path.display();
    let found = std::fs::metadata(path)
        .map_err(|e| CliError::environment(codes::CONFIG, format!("cannot read {shown}")).because(&e))?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if own && found.mode() & 0o002 == 0 {
        return Ok(());
    }
    let why = if own { "everybody may write it" } else { "it is another user's" };
    Err(CliError::environment(codes::CONFIG, format!("{shown} in this directory is not read: {why}"))
        .hint("LICEN_CONFIG=./licen.toml where it is meant"))
}

impl Config {
    /// Reads every layer. Flags come last and are already parsed.
    ///
    /// # Errors
    /// A file that does not parse or names an unknown setting.
    pub fn load(flags: &[(&str, Option<String>)]) -> Outcome<Self> {
        let mut config = Self { settings: BTreeMap::new() };
        for (name, value, _) in DEFAULTS {
            config.set(name, value, "default");
        }
        if let Some(path) = user_file().filter(|p| p.is_file()) {
            config.read_file(&path)?;
        }
        match std::env::var_os("LICEN_CONFIG") {
            Some(path) => config.read_file(Path::new(&path))?,
            None if Path::new("licen.toml").is_file() => {
                must_be_ours(Path::new("licen.toml"))?;
                config.read_file(Path::new("licen.toml"))?;
            }
            None => {}
        }
        for (name, _, _) in DEFAULTS {
            let variable = format!("LICEN_{}", name.to_uppercase());
            if let Ok(value) = std::env::var(&variable) {
                config.set(name, &value, &variable);
            }
        }
        for (name, value) in flags {
            if let Some(value) = value {
                config.set(name, value, "flag");
            }
        }
        Ok(config)
    }

    fn set(&mut self, name: &str, value: &str, origin: &str) {
        let setting = Setting { value: value.to_string(), origin: origin.to_string() };
        self.settings.insert(name.to_string(), setting);
    }

    fn read_file(&mut self, path: &Path) -> Outcome {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| CliError::environment(codes::CONFIG, format!("cannot read {shown}")).because(&e))
            .map_err(|e| e.hint("LICEN_CONFIG names the configuration file; unset it to do without"))?;
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            CliError::environment(codes::CONFIG, format!("{shown} is not TOML")).because(&e)
        })?;
        for (name, value) in table {
            if !DEFAULTS.iter().any(|(known, _, _)| *known == name) {
                let known: Vec<&str> = DEFAULTS.iter().map(|(n, _, _)| *n).collect();
                return Err(CliError::environment(
                    codes::CONFIG,
                    format!("{shown}: unknown setting {name:?}"),
                )
                .hint(format!("settings are {}", known.join(", "))));
            }
            let text = match value {
                Value::String(s) => s,
                Value::Integer(i) => i.to_string(),
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                other => {
                    let kind = other.type_str();
                    let message = format!("{shown}: {name} must be text, a number or a list, not a {kind}");
                    return Err(CliError::environment(codes::CONFIG, message));
                }
            };
            // Paths in a file are relative to that file, so that a world's licen.toml can be moved.
            let path_like = matches!(name.as_str(), "deployment" | "wallet" | "state");
            let text = match path.parent() {
                Some(base) if path_like && !text.is_empty() => base.join(text).display().to_string(),
                _ => text,
            };
            self.set(&name, &text, &shown);
        }
        Ok(())
    }

    /// A setting's text; empty where it is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", |s| s.value.as_str())
    }

    /// Where a setting comes from.
    #[must_use]
    pub fn origin(&self, name: &str) -> &str {
        self.settings.get(name).map_or("nowhere", |s| s.origin.as_str())
    }

    /// The node's base URL without a trailing slash.
    #[must_use]
    pub fn node(&self) -> &str {
        self.get("node").trim_end_matches('/')
    }

    /// The RPC URLs.
    #[must_use]
    pub fn rpc_urls(&self) -> Vec<String> {
        self.get("rpc").split(',').map(|u| u.trim().to_string()).filter(|u| !u.is_empty()).collect()
    }

    /// The confirmation depth.
    ///
    /// # Errors
    /// Not a whole number.
    pub fn confirmations(&self) -> Outcome<u64> {
        let text = self.get("confirmations");
        text.parse().map_err(|_| {
            CliError::environment(
                codes::CONFIG,
                format!("confirmations must be a whole number, not {text:?}"),
            )
            .hint("licen config tells where `confirmations` comes from")
        })
    }

    /// The state directory, made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn state_dir(&self) -> Outcome<PathBuf> {
        let dir = match self.get("state") {
            "" => state_home().join("licen"),
            set => PathBuf::from(set),
        };
        std::fs::create_dir_all(&dir).map_err(|e| {
            CliError::environment(codes::FILE, format!("cannot make {}", dir.display())).because(&e)
        })?;
        Ok(dir)
    }

    /// Every setting in order: name, setting, meaning.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Setting, &'static str)> {
        DEFAULTS.iter().filter_map(|(name, _, meaning)| Some((*name, self.settings.get(*name)?, *meaning)))
    }
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn user_file() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home().join(".config"), PathBuf::from);
    Some(base.join("licen/config.toml"))
}

fn state_home() -> PathBuf {
    std::env::var_os("XDG_STATE_HOME").map_or_else(|| home().join(".local/state"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_strictly_and_paths_are_relative_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("licen.toml");
        std::fs::write(&file, "wallet = \"owner.key\"\nrpc = [\"http://a\", \"http://b\"]\n").unwrap();
        let mut config = Config { settings: BTreeMap::new() };
        config.read_file(&file).unwrap();
        assert_eq!(config.get("wallet"), dir.path().join("owner.key").display().to_string());
        assert_eq!(config.rpc_urls(), ["http://a", "http://b"]);
        std::fs::write(&file, "wallett = \"x\"\n").unwrap();
        let error = config.read_file(&file).unwrap_err();
        assert!(error.message.contains("unknown setting \"wallett\""), "{error}");
    }

    #[test]
    fn a_file_that_everybody_may_write_is_not_read_for_lying_there() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("licen.toml");
        std::fs::write(&file, "custodian_set = \"0x00\"\n").unwrap();
        for (mode, read) in [(0o600, true), (0o664, true), (0o666, false), (0o602, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(must_be_ours(&file).is_ok(), read, "{mode:o}");
        }
    }
}
