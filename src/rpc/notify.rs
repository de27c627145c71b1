//! systemd: readiness, stopping and the watchdog, said by hand (sd_notify(3)), and the unit that asks for
//! them.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// Says to the service manager how things stand; says nothing where there is none.
#[derive(Debug, Default)]
pub struct Notifier {
    to: Option<OsString>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the service manager of this process wants it: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and
    /// `WATCHDOG_PID`.
    pub fn from_env() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        // The variables may be meant for a parent of ours.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| ours);
        Self::new(std::env::var_os("NOTIFY_SOCKET"), watchdog.map(Duration::from_micros))
    }

    /// To this socket: a path, or `@name` for an abstract one.
    pub fn new(to: Option<OsString>, watchdog: Option<Duration>) -> Self {
        Self { to: to.filter(|to| !to.is_empty()), watchdog: watchdog.filter(|w| !w.is_zero()) }
    }

    /// Half the time after which the manager takes a silent service for dead.
    pub fn beat(&self) -> Option<Duration> {
        self.to.as_ref().and(self.watchdog).map(|all| all / 2)
    }

    /// Says one state: `READY=1`, `STOPPING=1`, `WATCHDOG=1`. A manager that does not listen is not our
    /// trouble.
    pub fn say(&self, state: &str) {
        if let Some(to) = &self.to
            && let Err(why) = send(to, state)
        {
            tracing::warn!(%why, state, "the service manager could not be told");
        }
    }
}

fn send(to: &OsString, state: &str) -> io::Result<()> {
    let address = match to.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(to))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract sockets are Linux's"))
}

/// A systemd user unit that runs this program: for `~/.config/systemd/user/earnest.service`.
pub fn unit(program: &Path) -> String {
    // systemd reads `%` and quotes in ExecStart itself.
    let program = program.display().to_string();
    let program = program.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!(
        "[Unit]\n\
         Description=earnest: gigs over Nostr, paid over Lightning\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart=\"{program}\" run --no-input\n\
         # The passphrase: systemd-creds encrypt --user --name=earnest-passphrase - \\\n\
         #     ~/.config/earnest/passphrase.cred\n\
         #LoadCredentialEncrypted=earnest-passphrase:%h/.config/earnest/passphrase.cred\n\
         # Stopping waits for what is being said to peers and to the disk.\n\
         TimeoutStopSec=60\n\
         WatchdogSec=120\n\
         Restart=on-failure\n\
         RestartSec=10\n\
         UMask=0077\n\
         NoNewPrivileges=yes\n\
         LimitCORE=0\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_what_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(Some(path.into()), Some(Duration::from_secs(10)));
        notifier.say("READY=1");
        let mut heard = [0; 64];
        let n = manager.recv(&mut heard).unwrap();
        assert_eq!(&heard[..n], b"READY=1");
        assert_eq!(notifier.beat(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        let nobody = Notifier::new(None, Some(Duration::from_secs(10)));
        nobody.say("READY=1");
        assert_eq!(nobody.beat(), None);
        Notifier::new(Some("/nowhere/at/all".into()), None).say("STOPPING=1");
    }

    #[test]
    fn a_unit_names_its_program_as_systemd_reads_it() {
        let unit = unit(Path::new("/opt/my 100% \"tools\"/earnest"));
        assert!(unit.contains(r#"ExecStart="/opt/my 100%% \"tools\"/earnest" run --no-input"#));
        assert!(unit.contains("Type=notify"));
    }
}
