//! The environment variables of the functions: their values, and the file that lists them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::StackArgs;
use crate::file_error::{At, FileError};
use crate::template::{Function, Values};

/// Stand-ins for the values of an AWS account.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
const STACK_NAME: &str = "switchboard";

/// A function that has this variable needs Postgres.
pub(crate) const DATABASE_URL: &str = "DATABASE_URL";

/// A function that has this variable verifies tokens.
pub(crate) const JWT_SECRET: &str = "JWT_SECRET";

/// The file in the data directory.
const FILE: &str = "functions.env";

/// The values that stand in for an AWS account. The variables of this process override those of the
/// functions; `DATABASE_URL` and `JWT_SECRET` are set by the stack.
pub(crate) fn values(args: &StackArgs, base_url: String, secret: &str) -> Values {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables = std::env::vars_os().filter_map(text);
    // One that is set to the empty string counts as unset.
    let mut overrides: BTreeMap<_, _> = variables.filter(|(_, value)| !value.is_empty()).collect();
    overrides.insert(JWT_SECRET.to_owned(), secret.to_owned());
    // The URL is set once the server runs.
    overrides.insert(DATABASE_URL.to_owned(), String::new());
    Values {
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        stack_name: STACK_NAME.to_owned(),
        base_url,
        overrides,
        parameters: args.parameter_overrides.iter().cloned().collect(),
    }
}

/// Whether a person has given a variable of a function besides the database and the secret, or a parameter
/// that a variable may refer to.
pub(crate) fn are_given(function: &Function, args: &StackArgs, values: &Values) -> bool {
    let is_given = |name: &String| {
        name != DATABASE_URL && name != JWT_SECRET && values.overrides.contains_key(name.as_str())
    };
    !args.parameter_overrides.is_empty() || function.environment.keys().any(is_given)
}

/// Writes the variables of all functions to a file in the data directory, for `cargo lambda`. Returns its
/// path.
pub(crate) fn write(
    data_dir: &Path,
    functions: &[Function],
    shared: &BTreeMap<String, String>,
    values: &Values,
) -> Result<PathBuf, FileError> {
    let path = data_dir.join(FILE);
    write_to(&path, functions, shared, values).at(&path)?;
    Ok(path)
}

fn write_to(
    path: &Path,
    functions: &[Function],
    shared: &BTreeMap<String, String>,
    values: &Values,
) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut all = BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_REGION", values.region.as_str()),
    ]);
    let given = functions.iter().flat_map(|function| &function.environment).chain(shared);
    // An empty variable counts as unset.
    let given = given.filter(|(_, value)| !value.is_empty());
    all.extend(given.map(|(name, value)| (name.as_str(), value.as_str())));
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    // The file holds the secret and the password of the database.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    all.iter().try_for_each(|(name, value)| writeln!(file, "{name}={value}"))
}
