//! The command line of LICEN: owner and researcher commands, role runners, the demo.
//!
//! `session/` is what every command works with, and imports none of them; `cli` holds the arguments. Rooms
//! are named after who acts: `owner/`, `researcher/`, `operator/`, `audit/` for anybody, `roles/` for what
//! runs until it is stopped, `demo/` for all of them in a private world. Everything that decides is in
//! `licen-core`; this crate asks, shows, signs and sends.

#![expect(unreachable_pub, reason = "a program has no outside: pub marks what other files of it use")]

mod audit;
mod cli;
mod demo;
mod operator;
mod owner;
mod researcher;
mod roles;
mod session;

use std::process::ExitCode;

use clap::Parser;

use cli::{
    AttestCommand, Cli, Command, CustodianCommand, JobsCommand, KeyCommand, RunCommand, StorageCommand,
};
use session::Session;
use session::config::Config;
use session::error::{CliError, ENVIRONMENT, Outcome};
use session::output::Ui;

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
        return ExitCode::from(if asked { 0 } else { ENVIRONMENT });
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
        Command::Storage(StorageCommand::Root { file }) => return operator::storage::root(&ui, file),
        Command::Attest(AttestCommand::Verify(args)) => return operator::attest::verify(&ui, args),
        Command::Attest(AttestCommand::Policy(args)) => return operator::attest::policy(&ui, args),
        Command::Key(KeyCommand::New(args)) => return operator::key::new(&ui, args),
        Command::Explain { code } => return operator::info::explain(&ui, code),
        Command::Completions { shell } => {
            operator::info::completions(*shell);
            return Ok(());
        }
        _ => {}
    }
    // One thread drives everything: children of the demo die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| CliError::environment(session::codes::PROCESS, "cannot start").because(&e))?;
    runtime.block_on(async {
        let config = Config::load(&flags)?;
        dispatch(&Session::new(ui, config), &cli.command).await
    })
}

async fn dispatch(session: &Session, command: &Command) -> Outcome {
    match command {
        Command::Demo(args) => demo::demo(session.ui, args).await,
        Command::Deploy(args) => operator::deploy::run(session, args).await,
        Command::Custodian(CustodianCommand::Register(args)) => {
            operator::custodian::register(session, args).await
        }
        Command::Custodian(CustodianCommand::Update(args)) => {
            operator::custodian::update(session, args).await
        }
        Command::Custodian(CustodianCommand::Anchor(args)) => {
            operator::anchor::anchor(session.ui, args).await
        }
        Command::Custodian(CustodianCommand::Erase(args)) => operator::custodian::erase(session, args).await,
        Command::Custodian(CustodianCommand::Appraisal(args)) => {
            operator::custodian::appraisal(session, args).await
        }
        Command::Attest(command) => operator::attest::registry(session, command).await,
        Command::Publish(args) => {
            if args.dry_run {
                return owner::publish::dry_run(session, args).await;
            }
            let done = owner::publish::publish(session, args).await?;
            owner::publish::report(session, &done);
            Ok(())
        }
        Command::Search(args) => researcher::search::search(session, args).await,
        Command::Show(args) => researcher::search::show(session, args).await,
        Command::Preview(args) => researcher::search::preview(session, args).await,
        Command::Access(args) => match &args.dataset {
            Some(dataset) if args.ask => researcher::access::ask(session, args, dataset).await,
            dataset => owner::access::show(session, dataset.as_deref()).await,
        },
        Command::Approve(args) => owner::approve::approve(session, args).await,
        Command::Request(args) => {
            let job = researcher::request::request(session, args).await?;
            researcher::request::report(session, args, &job).await
        }
        Command::Jobs(args) => match &args.command {
            None => researcher::jobs::list(session, args).await,
            Some(JobsCommand::Show(args)) => researcher::jobs::show(session, args).await,
            Some(JobsCommand::Follow(args)) => researcher::jobs::watch(session, args).await,
            Some(JobsCommand::Stop(args)) => researcher::jobs::stop(session, args).await,
            Some(JobsCommand::Settle(args)) => researcher::jobs::settle(session, args).await,
        },
        Command::Cancel(args) => researcher::cancel::cancel(session, args).await,
        Command::Fetch(args) => researcher::fetch::fetch(session, args).await.map(|_| ()),
        Command::Policy(command) => owner::policy::run(session, command).await,
        Command::Retire(args) => owner::retire::retire(session, args).await,
        Command::Export(args) => owner::export::export(session, args).await,
        Command::Model(command) => researcher::model::run(session, command).await,
        Command::Provider(command) => operator::provider::run(session, command).await,
        Command::Earnings(args) => owner::earnings::earnings(session, args).await,
        Command::Distribute(args) => owner::distribute::distribute(session, args).await,
        Command::Withdraw(args) => owner::account::withdraw(session, args).await,
        Command::Audit(args) => audit::audit(session, args).await,
        Command::Storage(command) => operator::storage::transfer(&session.ui, &session.config, command).await,
        Command::Run(RunCommand::Node { config }) => roles::role::node(config).await,
        Command::Run(RunCommand::Custodian { config }) => roles::role::custodian(config).await,
        Command::Config => operator::info::config(&session.ui, &session.config),
        Command::Key(_) | Command::Explain { .. } | Command::Completions { .. } => Ok(()),
    }
}
