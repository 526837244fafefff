//! README.md of an adapter folder: a Hugging Face model card with where the adapter comes from.

use crate::folder::CardFields;
use crate::params::TrainingParams;
use crate::trainer::Outcome;
use std::fmt::Write;

/// The card. Numbers come from the run; fields nobody filled are left out.
pub(crate) fn render(base: &str, outcome: &Outcome, params: &TrainingParams, fields: &CardFields) -> String {
    let (metering, lora) = (&outcome.metering, outcome.adapter.config());
    let targets: Vec<&str> = lora.targets.iter().map(|t| t.name()).collect();
    let mut card = String::new();
    // Writing to a string cannot fail.
    let mut line = |text: std::fmt::Arguments| {
        let _ = writeln!(card, "{text}");
    };
    line(format_args!("---\nbase_model: {}\nlibrary_name: peft", yaml(base)));
    line(format_args!("pipeline_tag: text-generation\ntags:"));
    line(format_args!("- {}\n- lora\n- licen\n---\n", yaml(&format!("base_model:adapter:{base}"))));
    line(format_args!("# LoRA adapter for {}\n", base.replace(['\n', '\r'], " ")));
    line(format_args!(
        "Trained by licen-compute. Load it with PEFT: `PeftModel.from_pretrained(base, folder)`.\n"
    ));
    line(format_args!("| where it comes from | |\n|---|---|"));
    let provenance = [
        ("dataset root", &fields.dataset_root),
        ("policy", &fields.policy),
        ("job", &fields.job),
        ("attestation", &fields.attestation),
    ];
    for (name, value) in provenance {
        if let Some(value) = value {
            line(format_args!("| {name} | `{}` |", value.replace(['|', '`', '\n', '\r'], " ")));
        }
    }
    line(format_args!("| rank, alpha | {}, {} |", lora.rank, lora.alpha));
    line(format_args!("| target modules | {} |", targets.join(", ")));
    line(format_args!("| learning rate | {} |", params.learning_rate));
    line(format_args!("| seed | {} |", params.seed));
    line(format_args!("\n| what was used | |\n|---|---|"));
    line(format_args!("| epochs | {} |", metering.epochs));
    line(format_args!("| row visits | {} |", metering.samples));
    line(format_args!("| text tokens seen | {} |", metering.tokens_seen));
    line(format_args!("| text tokens trained | {} |", metering.tokens_trained));
    for (name, loss) in [("before", metering.eval_before), ("after", metering.eval_after)] {
        if let Some(loss) = loss {
            line(format_args!("| held-out loss {name} (nats per token) | {loss:.6} |"));
        }
    }
    card
}

/// A YAML string in double quotes.
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
