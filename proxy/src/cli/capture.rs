//! `weir capture`: puts the rules in force by which a service's connections go through the proxy, takes them away,
//! or only says them.

use std::{
    io::{ErrorKind, Write},
    process::{Command, ExitCode, Output, Stdio},
};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::print;
use crate::capture::{Capture, Family, Iptables, Network, Nft, Ports, user_id};

#[derive(Debug, Subcommand)]
pub(super) enum CaptureCommand {
    /// Puts the rules in force, in the place of those before. Needs the capability NET_ADMIN.
    Install {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how: How,
    },
    /// Takes the rules away; it is no error if there are none.
    Remove {
        #[command(flatten)]
        how: How,
    },
    /// Prints what `install` would do, and does nothing.
    Print {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
pub(super) struct What {
    /// The proxy's port for connections that leave this machine.
    #[arg(long, value_name = "PORT")]
    outbound: Option<u16>,
    /// The proxy's port for connections that arrive.
    #[arg(long, value_name = "PORT")]
    inbound: Option<u16>,
    /// The user that the proxy runs as, by name or number: what it sends is not captured. More than one can be named.
    #[arg(long = "user", value_name = "USER")]
    users: Vec<String>,
    /// Connections to these ports of others are not captured: 53,8000-8099.
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    skip_outbound_ports: Vec<Ports>,
    /// Connections to these addresses are not captured: 10.0.0.0/8,fd00::/8.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    skip_destinations: Vec<Network>,
    /// Connections to these ports of this machine are not captured: that of the admin API, that of a shell.
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    skip_inbound_ports: Vec<Ports>,
}

#[derive(Debug, Args)]
pub(super) struct How {
    /// What puts the rules in force.
    #[arg(long, value_name = "TOOL", default_value = "auto")]
    tool: Tool,
    /// Leaves IPv6 alone, where `ip6tables` does not work. `nft` always does both.
    #[arg(long)]
    ipv4_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// `nft` if there is one, else `iptables`.
    Auto,
    Nft,
    Iptables,
}

pub(super) fn run(command: CaptureCommand) -> Result<ExitCode> {
    match command {
        CaptureCommand::Install { what, how } => install(&what.capture()?, &how)?,
        CaptureCommand::Remove { how } => remove(&how)?,
        CaptureCommand::Print { what, how } => {
            let capture = what.capture()?;
            return match how.chosen()? {
                Tool::Iptables => print(&iptables_told(&capture, &how)),
                Tool::Nft | Tool::Auto => print(&Nft::install(&capture)),
            };
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl What {
    fn capture(self) -> Result<Capture> {
        let named = self.users.iter().any(|user| user.parse::<u32>().is_err());
        let passwd = match named {
            true => std::fs::read_to_string("/etc/passwd").context("/etc/passwd, to find the user")?,
            false => String::new(),
        };
        let users: Result<_, _> = self.users.iter().map(|user| user_id(user, &passwd)).collect();
        let capture = Capture {
            outbound: self.outbound,
            inbound: self.inbound,
            users: users.map_err(|error| anyhow!("--user: {error}"))?,
            skip_outbound_ports: self.skip_outbound_ports,
            skip_destinations: self.skip_destinations,
            skip_inbound_ports: self.skip_inbound_ports,
        };
        capture.check().map_err(|error| anyhow!(error))?;
        Ok(capture)
    }
}

impl How {
    fn chosen(&self) -> Result<Tool> {
        match self.tool {
            Tool::Auto if is_there("nft") => Ok(Tool::Nft),
            Tool::Auto if is_there("iptables") => Ok(Tool::Iptables),
            Tool::Auto => bail!("there is neither nft nor iptables here: install the package nftables"),
            named => Ok(named),
        }
    }

    fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let ipv4_only = self.ipv4_only;
        Family::ALL.into_iter().filter(move |family| !ipv4_only || *family == Family::Ipv4)
    }
}

fn install(capture: &Capture, how: &How) -> Result<()> {
    if how.chosen()? == Tool::Nft {
        return run_with("nft", &["-f", "-"], &Nft::install(capture));
    }
    for family in how.families() {
        run_with(family.restore(), &["--noflush"], &Iptables::fill(capture, family))?;
        for (is_there, make) in Iptables::jumps() {
            if !output(family.program(), &is_there, "")?.status.success() {
                run_with(family.program(), &make, "")?;
            }
        }
    }
    Ok(())
}

/// Both tools', unless one is named: nobody may remember which it was.
fn remove(how: &How) -> Result<()> {
    let tool = how.chosen()?;
    if tool == Tool::Nft {
        run_with("nft", &["-f", "-"], &Nft::remove())?;
    }
    if tool == Tool::Iptables || (how.tool == Tool::Auto && is_there("iptables")) {
        for family in how.families().filter(|family| is_there(family.program())) {
            for arguments in Iptables::remove() {
                output(family.program(), &arguments, "")?;
            }
        }
    }
    Ok(())
}

fn iptables_told(capture: &Capture, how: &How) -> String {
    let mut text = String::new();
    for family in how.families() {
        text.push_str(&format!(
            "{} --noflush <<'END'\n{}END\n",
            family.restore(),
            Iptables::fill(capture, family)
        ));
        for (is_there, make) in Iptables::jumps() {
            let program = family.program();
            text.push_str(&format!("{program} {} || {program} {}\n", is_there.join(" "), make.join(" ")));
        }
    }
    text
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Fails with what the program says if it does.
fn run_with(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let output = output(program, arguments, input)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!(
        "{program} {}: {}\nrules of the network take the capability NET_ADMIN",
        arguments.join(" "),
        said.trim()
    )
}

fn output(program: &str, arguments: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.as_bytes()) {
            // It ended early, and says why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.with_context(|| format!("{program} does not read"))?,
        }
    }
    child.wait_with_output().with_context(|| format!("{program} cannot be waited for"))
}
