//! URLs of other hosts.

use reqwest::Url;

/// A URL that is `https`, or `http` on this machine.
///
/// # Errors
///
/// The text is not such a URL. The message follows the name of a variable.
pub fn https_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    let is_loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err("must be an https URL".to_owned()),
    }
}
