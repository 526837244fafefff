//! The command line of LICEN: owner and researcher commands, role runners, the demo.
//!
//! `cli` holds the arguments, `command/` one file per verb, `session` what they work with, `node/`
//! the node, `demo/` the private world. Everything that decides is in `licen-core`; this crate asks,
//! shows, signs and sends.

#![expect(unreachable_pub, reason = "a program has no outside: pub marks what other files of it use")]

mod chain_view;
mod cli;
mod codes;
mod codes_elsewhere;
mod command;
mod config;
mod custodian_client;
mod demo;
mod error;
mod http;
mod ledger;
mod node;
mod node_client;
mod node_ledger;
mod output;
mod owner;
mod program;
mod sending;
mod session;

use std::process::ExitCode;

use clap::Parser;

use cli::{
    AttestCommand, Cli, Command, CustodianCommand, JobsCommand, KeyCommand, RunCommand, StorageCommand,
};
use config::Config;
use error::{CliError, Outcome};
use output::Ui;
use session::Session;

fn main() -> ExitCode {
    // A core dump of any of our processes could hold a key.
    let _ = licen_seal::process::harden_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Ui { json: cli.global.json, quiet: cli.global.quiet, yes: cli.global.yes, muted: false };
    match run(ui, cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit)
        }
    }
}

/// Help and version go to stdout as they are; anything else is an error like every other.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(if asked { 0 } else { error::ENVIRONMENT });
    }
    let error = CliError::usage(error, &spoken());
    eprintln!("{error}");
    ExitCode::from(error.exit)
}

/// The command as far as it was understood, for `COMMAND --help`.
fn spoken() -> String {
    let mut known = <Cli as clap::CommandFactory>::command();
    let mut name = String::from("licen");
    for word in std::env::args().skip(1) {
        let Some(next) = known.find_subcommand(&word).cloned() else { continue };
        name.push(' ');
        name.push_str(&word);
        known = next;
    }
    name
}

fn run(ui: Ui, cli: Cli) -> Outcome {
    let path = |p: &Option<std::path::PathBuf>| p.as_ref().map(|p| p.display().to_string());
    let flags = [
        ("wallet", path(&cli.global.wallet)),
        ("node", cli.global.node.clone()),
        ("rpc", cli.global.rpc.clone()),
        ("contract", cli.global.contract.clone()),
    ];
    // What needs neither a node nor a chain must work where there is none.
    match &cli.command {
        Command::Storage(StorageCommand::Root { file }) => return command::storage::root(&ui, file),
        Command::Attest(AttestCommand::Verify(args)) => return command::attest::verify(&ui, args),
        Command::Attest(AttestCommand::Policy(args)) => return command::attest::policy(&ui, args),
        Command::Key(KeyCommand::New(args)) => return command::key::new(&ui, args),
        Command::Explain { code } => return command::info::explain(&ui, code),
        Command::Completions { shell } => {
            command::info::completions(*shell);
            return Ok(());
        }
        _ => {}
    }
    // One thread drives everything: children of the demo die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| CliError::environment(codes::PROCESS, "cannot start").because(&e))?;
    runtime.block_on(async {
        let config = Config::load(&flags)?;
        dispatch(&Session::new(ui, config), &cli.command).await
    })
}

async fn dispatch(session: &Session, command: &Command) -> Outcome {
    match command {
        Command::Demo(args) => demo::demo(session.ui, args).await,
        Command::Deploy(args) => command::deploy::run(session, args).await,
        Command::Custodian(CustodianCommand::Register(args)) => {
            command::custodian::register(session, args).await
        }
        Command::Custodian(CustodianCommand::Update(args)) => command::custodian::update(session, args).await,
        Command::Custodian(CustodianCommand::Anchor(args)) => command::anchor::anchor(session.ui, args).await,
        Command::Custodian(CustodianCommand::Erase(args)) => command::custodian::erase(session, args).await,
        Command::Custodian(CustodianCommand::Appraisal(args)) => {
            command::custodian::appraisal(session, args).await
        }
        Command::Attest(command) => command::attest::registry(session, command).await,
        Command::Publish(args) => {
            if args.dry_run {
                return command::publish::dry_run(session, args).await;
            }
            let done = command::publish::publish(session, args).await?;
            command::publish::report(session, &done);
            Ok(())
        }
        Command::Search(args) => command::search::search(session, args).await,
        Command::Show(args) => command::search::show(session, args).await,
        Command::Preview(args) => command::search::preview(session, args).await,
        Command::Access(args) => command::access::access(session, args).await,
        Command::Approve(args) => command::approve::approve(session, args).await,
        Command::Request(args) => {
            let job = command::request::request(session, args).await?;
            command::request::report(session, args, &job).await
        }
        Command::Jobs(args) => match &args.command {
            None => command::jobs::list(session, args).await,
            Some(JobsCommand::Show(args)) => command::jobs::show(session, args).await,
            Some(JobsCommand::Follow(args)) => command::jobs::watch(session, args).await,
            Some(JobsCommand::Stop(args)) => command::jobs::stop(session, args).await,
            Some(JobsCommand::Settle(args)) => command::jobs::settle(session, args).await,
        },
        Command::Cancel(args) => command::cancel::cancel(session, args).await,
        Command::Fetch(args) => command::fetch::fetch(session, args).await.map(|_| ()),
        Command::Policy(command) => command::policy::run(session, command).await,
        Command::Retire(args) => command::retire::retire(session, args).await,
        Command::Export(args) => command::export::export(session, args).await,
        Command::Model(command) => command::model::run(session, command).await,
        Command::Provider(command) => command::provider::run(session, command).await,
        Command::Earnings(args) => command::earnings::earnings(session, args).await,
        Command::Distribute(args) => command::distribute::distribute(session, args).await,
        Command::Withdraw(args) => command::account::withdraw(session, args).await,
        Command::Audit(args) => command::audit::audit(session, args).await,
        Command::Storage(command) => command::storage::transfer(&session.ui, &session.config, command).await,
        Command::Run(RunCommand::Node { config }) => command::role::node(config).await,
        Command::Run(RunCommand::Custodian { config }) => command::role::custodian(config).await,
        Command::Config => command::info::config(&session.ui, &session.config),
        Command::Key(_) | Command::Explain { .. } | Command::Completions { .. } => Ok(()),
    }
}
