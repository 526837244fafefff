//! Addresses of peers: read once, and refused where no request could go to them.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

/// Why an address is none of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Something else than a URL, or one without a host.
    #[error("it is not a URL")]
    NotAUrl,
    /// Another scheme.
    #[error("it is neither http:// nor https://")]
    Scheme,
    /// Something behind the path, where paths of the protocol go.
    #[error("it has a query or a fragment")]
    Suffix,
}

/// An `http` or `https` address with a host.
///
/// # Errors
/// See [`UrlError`].
pub fn parse(text: &str) -> Result<Url, UrlError> {
    let url = Url::parse(text).map_err(|_| UrlError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme);
    }
    if url.has_host() { Ok(url) } else { Err(UrlError::NotAUrl) }
}

/// Host and port of an address.
///
/// # Errors
/// See [`UrlError`].
pub fn origin(text: &str) -> Result<(String, u16), UrlError> {
    let url = parse(text)?;
    let host = url.host_str().ok_or(UrlError::NotAUrl)?;
    Ok((host.to_owned(), url.port_or_known_default().ok_or(UrlError::Scheme)?))
}

/// Whether what is at `text` runs on this machine.
pub(crate) fn is_local(text: &str) -> bool {
    let Ok(url) = parse(text) else { return false };
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Where a peer answers: what stands before `/v1`.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    /// Without what may be secret in it.
    shown: String,
}

impl BaseUrl {
    /// Reads an address, such as `http://127.0.0.1:8080` or `https://node.example/licen`.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = parse(text)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Suffix);
        }
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let shown = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
        Ok(Self { text: text.trim_end_matches('/').to_owned(), shown })
    }

    /// The address with `path` behind it, which begins with `/`.
    pub(crate) fn join(&self, path: &str) -> Result<Url, UrlError> {
        Url::parse(&format!("{}{path}", self.text)).map_err(|_| UrlError::NotAUrl)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Scheme, host and port; a name and password in an address are not shown.
impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_joined_once_whether_or_not_it_ends_in_a_slash() {
        for base in ["http://h:1/a", "http://h:1/a/", "http://h:1/a//"] {
            let joined = BaseUrl::parse(base).unwrap().join("/v1/info").unwrap();
            assert_eq!(joined.as_str(), "http://h:1/a/v1/info");
        }
        assert_eq!(
            BaseUrl::parse("https://h").unwrap().join("/v1/x?from=3").unwrap().query(),
            Some("from=3")
        );
    }

    #[test]
    fn what_no_request_could_go_to_is_refused_by_name() {
        for (bad, why) in [
            ("", UrlError::NotAUrl),
            ("h:1", UrlError::Scheme),
            ("/v1", UrlError::NotAUrl),
            ("http://", UrlError::NotAUrl),
            ("ftp://h", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("http://h/?q=1", UrlError::Suffix),
            ("https://h/#x", UrlError::Suffix),
        ] {
            assert_eq!(BaseUrl::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let base = BaseUrl::parse("https://me:hunter2@h:8443/secret/").unwrap();
        assert_eq!(format!("{base} {base:?}"), "https://h:8443 https://h:8443");
    }

    #[test]
    fn only_this_machine_is_local() {
        for local in ["http://localhost:1", "http://127.0.0.1", "https://127.9.9.9/x", "http://[::1]:8080"] {
            assert!(is_local(local), "{local}");
        }
        for other in
            ["http://localhost.evil", "http://10.0.0.1", "http://[::2]", "localhost", "ftp://127.0.0.1"]
        {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn an_origin_has_the_port_of_its_scheme() {
        assert_eq!(origin("http://h/x"), Ok(("h".into(), 80)));
        assert_eq!(origin("https://h/x"), Ok(("h".into(), 443)));
        assert_eq!(origin("http://h:7"), Ok(("h".into(), 7)));
        assert_eq!(origin("h:7"), Err(UrlError::Scheme));
    }
}
