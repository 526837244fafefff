//! Where the demo speaks.

use serde_json::{Value, json};

use crate::session::output::Ui;

/// Where the demo tells what happens: lines for people, NDJSON with `step` for programs.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// The terminal.
    pub ui: Ui,
}

impl Stage {
    /// One step: a line on stdout for people, an object for programs.
    pub fn tell(&self, step: &str, line: &str, mut facts: Value) {
        if let Some(map) = facts.as_object_mut() {
            let mut object = serde_json::Map::new();
            object.insert("step".into(), json!(step));
            object.append(map);
            self.ui.record(&Value::Object(object));
        }
        self.ui.data(&format!("  {line}"));
    }

    /// A heading; nothing for programs.
    pub fn heading(&self, line: &str) {
        self.ui.data(&format!("\n{line}"));
    }
}
