//! Reads `DATABASE_URL`: the address of the database, and how to connect to it.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use std::net::IpAddr;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::tls::{Roots, Tls};

/// A database, from a URL or from the JSON of Secrets Manager.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) config: Config,
    pub(crate) tls: Tls,
    /// Whether a transaction pooler is in between. Two statements may then run on different server
    /// connections, so none is prepared.
    pub(crate) is_pooled_by_transaction: bool,
}

/// The URL cannot be read. It has a password, so this error does not repeat it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Postgres URL: {0}")]
pub(crate) struct InvalidDatabaseUrl(pub(crate) String);

impl Database {
    /// Reads `postgres://user:password@host:port/database?…`, or the JSON that Secrets Manager attaches to a
    /// database. The option `pgbouncer=true` is not libpq's but Prisma's.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        let text = text.trim();
        if text.starts_with('{') {
            return Kept::parse(text)?.database();
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl("it has to begin with postgres://".to_owned()));
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let mut rest = Vec::new();
        let (mut ssl_mode, mut roots, mut is_pooled_by_transaction) = (None, None, false);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("sslmode", mode) => ssl_mode = Some(mode),
                ("sslrootcert", path) => {
                    roots = Some(Roots::read(&percent_decode_str(path).decode_utf8_lossy()));
                }
                ("pgbouncer", value) => is_pooled_by_transaction = flag("pgbouncer", value)?,
                _ => rest.push(option),
            }
        }
        let config: Config = format!("{address}?{}", rest.join("&"))
            .parse()
            .map_err(|error| InvalidDatabaseUrl(reason(&error)))?;
        Self::new(config, ssl_mode, roots, is_pooled_by_transaction)
    }

    fn new(
        mut config: Config,
        ssl_mode: Option<&str>,
        roots: Option<Roots>,
        is_pooled_by_transaction: bool,
    ) -> Result<Self, InvalidDatabaseUrl> {
        let tls = match ssl_mode {
            None if config.get_hosts().iter().all(is_this_machine) => Tls::Off,
            Some("disable") => Tls::Off,
            // Encryption without a verified server is of no use, so `require` and `verify-ca` verify as
            // `verify-full` does.
            None | Some("require" | "verify-ca" | "verify-full") => Tls::Verified { roots },
            Some(_) => {
                return Err(InvalidDatabaseUrl("sslmode has to be verify-full or disable".to_owned()));
            }
        };
        config.ssl_mode(match tls {
            Tls::Off => SslMode::Disable,
            Tls::Verified { .. } => SslMode::Require,
        });
        Ok(Self { config, tls, is_pooled_by_transaction })
    }
}

/// The secret of a database (Secrets Manager User Guide, "JSON structure of Secrets Manager database
/// credential secrets").
#[derive(Deserialize)]
struct Kept {
    username: String,
    password: String,
    host: String,
    #[serde(default = "default_port")]
    port: u16,
    #[serde(default = "default_name")]
    dbname: String,
    // The options of a URL.
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    #[serde(default)]
    pgbouncer: bool,
}

fn default_port() -> u16 {
    5432
}

fn default_name() -> String {
    "postgres".to_owned()
}

impl Kept {
    fn parse(json: &str) -> Result<Self, InvalidDatabaseUrl> {
        serde_json::from_str(json).map_err(|error| {
            // The message of serde may repeat a value, and one of the values is the password.
            InvalidDatabaseUrl(format!(
                "as JSON it needs username, password and host, as texts, and may have port, dbname, \
                    sslmode, sslrootcert and pgbouncer (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }

    fn database(self) -> Result<Database, InvalidDatabaseUrl> {
        let mut config = Config::new();
        config
            .user(self.username)
            .password(self.password)
            .host(self.host)
            .port(self.port)
            .dbname(self.dbname);
        let roots = self.sslrootcert.as_deref().map(Roots::read);
        Database::new(config, self.sslmode.as_deref(), roots, self.pgbouncer)
    }
}

fn flag(name: &str, value: &str) -> Result<bool, InvalidDatabaseUrl> {
    value.parse().map_err(|_| InvalidDatabaseUrl(format!("{name} has to be true or false")))
}

/// A connection to this machine needs no encryption.
fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    }
}

fn reason(error: &tokio_postgres::Error) -> String {
    use std::error::Error;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(url: &str) -> Tls {
        Database::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")).tls
    }

    fn refusal(text: &str) -> String {
        Database::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_and_verified() {
        let verified = Tls::Verified { roots: None };
        for options in ["", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=verify-full"] {
            assert_eq!(
                tls(&format!("postgres://me:secret@db.example.com/app{options}")),
                verified,
                "{options}"
            );
        }
        for here in ["localhost", "127.0.0.1:5433", "[::1]"] {
            assert_eq!(tls(&format!("postgresql://me@{here}/app")), Tls::Off, "{here}");
            assert_eq!(tls(&format!("postgresql://me@{here}/app?sslmode=require")), verified, "{here}");
        }
        assert_eq!(tls("postgres://me@10.0.0.7/app?sslmode=disable"), Tls::Off);
        let own = Tls::Verified { roots: Some(Roots::File("/opt/my roots.pem".into())) };
        assert_eq!(tls("postgres://me@db/app?sslmode=verify-full&sslrootcert=%2Fopt%2Fmy%20roots.pem"), own);
    }

    #[test]
    fn what_secrets_manager_keeps_is_a_database() {
        let kept = r#"{"engine":"postgres","host":"db.example.com","username":"me",
            "password":"a:b@c/d?","dbname":"app","port":5433}"#;
        let database = Database::parse(kept).unwrap();
        assert_eq!(database.tls, Tls::Verified { roots: None });
        assert_eq!(database.config.get_password(), Some("a:b@c/d?".as_bytes()));
        assert_eq!((database.config.get_ports(), database.config.get_dbname()), (&[5433][..], Some("app")));
        let own = r#"{"host":"db","username":"me","password":"x",
            "sslrootcert":"-----BEGIN CERTIFICATE-----\n…","pgbouncer":true}"#;
        let database = Database::parse(own).unwrap();
        assert!(matches!(database.tls, Tls::Verified { roots: Some(Roots::Given(_)) }), "{:?}", database.tls);
        assert!(database.is_pooled_by_transaction);
    }

    #[test]
    fn the_rest_of_a_url_is_kept() {
        let url = "postgres://me:secret@db/app?connect_timeout=7&pgbouncer=true&application_name=switchboard";
        let database = Database::parse(url).unwrap();
        assert!(database.is_pooled_by_transaction);
        assert_eq!(database.config.get_connect_timeout(), Some(&std::time::Duration::from_secs(7)));
        assert_eq!(database.config.get_application_name(), Some("switchboard"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (text, reason) in [
            ("host=db password=hunter2", "it has to begin with postgres://"),
            ("postgres://me:hunter2@db/app?sslmode=prefer", "sslmode has to be verify-full or disable"),
            ("postgres://me:hunter2@db/app?pgbouncer=1", "pgbouncer has to be true or false"),
            ("postgres://me:hunter2@db/app?colour=red", "unknown option `colour`"),
            (
                r#"{"username":"me","password":17,"host":"hunter2"}"#,
                "as JSON it needs username, password and host",
            ),
        ] {
            let said = refusal(text);
            assert!(said.contains(reason) && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
