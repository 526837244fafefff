//! What a provider of compute types, and what others ask of providers.

use clap::{Args, Subcommand};

use super::payee::PayeeArgs;

#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// Register as a provider of compute and print its id
    #[command(after_help = "Example:
  licen key new provider --out provider.key
  licen provider register --signer 0x8ee5... --jurisdiction CH --platform 0x3f09...
Then compute's file gets providerId, quoteKeyFile, jurisdiction and [[prices]]: docs/operating.md. A node that runs a
simulated TEE says its platform in `licen provider show`; hardware says it in its evidence: licen attest verify --json.")]
    Register(ProviderRegisterArgs),
    /// Change a provider of yours; what is left out stays
    #[command(after_help = "Examples:
  licen provider update 0x51ab... --jurisdiction DE
  licen provider update 0x51ab... --payee 0xA1...=50 --payee 0xB2...=50
Jobs that were opened keep the payee of their quote.")]
    Update(ProviderUpdateArgs),
    /// Show a provider; without an id, what the compute of this node asks for
    #[command(after_help = "Examples:
  licen provider show
  licen provider show 0x51ab...")]
    Show(ProviderShowArgs),
}

#[derive(Debug, Args)]
pub struct ProviderRegisterArgs {
    /// Address that signs its quotes, as `key new provider` prints it
    #[arg(long, value_name = "ADDRESS")]
    pub signer: String,
    #[command(flatten)]
    pub details: ProviderArgs,
}

#[derive(Debug, Args)]
pub struct ProviderUpdateArgs {
    /// Id of the provider, 64 hex digits
    pub id: String,
    /// New address that signs its quotes
    #[arg(long, value_name = "ADDRESS")]
    pub signer: Option<String>,
    #[command(flatten)]
    pub details: ProviderArgs,
}

/// What owners and custodians look at.
#[derive(Debug, Args)]
pub struct ProviderArgs {
    /// Country whose law its machines stand under, ISO 3166-1: CH. Nobody checks it: owners who demand one trust
    /// the provider's word
    #[arg(long, value_name = "CODE")]
    pub jurisdiction: Option<String>,
    /// Platform that its evidence names, 64 hex digits; may be repeated. Custodians refuse every other
    #[arg(long = "platform", value_name = "ID")]
    pub platforms: Vec<String>,
    #[command(flatten)]
    pub payee: PayeeArgs,
}

#[derive(Debug, Args)]
pub struct ProviderShowArgs {
    /// Id of the provider, 64 hex digits
    pub id: Option<String>,
}
