//! What an owner says about a dataset in words, read from the flags of `publish` before anything is done.

use std::path::Path;

use licen_core::policy_manifest::{Contact, Description, is_language_tag};

use crate::cli::{DescriptionArgs, PublishArgs};
use crate::session::codes;
use crate::session::error::{CliError, Outcome};

/// Longest text that an owner can add to the terms, bytes: people have to read it.
const MAX_LICENSE_BYTES: usize = 64 * 1024;

/// The words of the flags; when it is published is not known yet.
///
/// # Errors
/// An empty title, a language or contact of the wrong form, a license text that cannot be read or is too
/// long.
pub fn description(args: &PublishArgs) -> Outcome<Description> {
    let about = &args.about;
    if args.name.trim().is_empty() {
        return Err(usage("--name is empty").hint("--name Reviews"));
    }
    if let Some(wrong) = about.languages.iter().find(|tag| !is_language_tag(tag)) {
        return Err(usage(format!("--language {wrong:?} is not a language tag")).hint("--language en"));
    }
    Ok(Description {
        name: args.name.clone(),
        description: about.description.clone(),
        languages: about.languages.clone(),
        tasks: about.tasks.clone(),
        keywords: about.keywords.clone(),
        license_text: about.license_text.as_deref().map_or(Ok(String::new()), license_text)?,
        contact: contact(about)?,
        ..Description::default()
    })
}

fn contact(about: &DescriptionArgs) -> Outcome<Option<Contact>> {
    let Some(text) = &about.contact else { return Ok(None) };
    let contact = Contact::parse(text).ok_or_else(|| {
        usage(format!("--contact {text:?} is neither an e-mail address nor an https:// page"))
            .hint("--contact data@example.org")
    })?;
    Ok(Some(contact))
}

fn license_text(path: &Path) -> Outcome<String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        CliError::environment(codes::FILE, format!("cannot read {shown}"))
            .because(&e)
            .hint("--license-text takes a file of UTF-8 text")
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(usage(format!("{shown} has no text")).hint("leave --license-text out"));
    }
    if text.len() > MAX_LICENSE_BYTES {
        let message = format!("{shown} has {} bytes, at most {MAX_LICENSE_BYTES}", text.len());
        return Err(usage(message).hint("name a longer license by its URL in the text"));
    }
    Ok(text.to_string())
}

fn usage(message: impl Into<String>) -> CliError {
    CliError::environment(codes::USAGE, message)
}
