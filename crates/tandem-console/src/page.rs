//! The page that `console/` builds, and the description of the API: embedded, so that a node needs
//! nothing but its program.
//!
//! The files are committed as built; `make test` builds them again and compares.

mod files;

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// What a browser may do with the page: run and show what comes from here, and nothing else. No
/// inline script or style, nobody frames it, nothing is sent elsewhere.
pub const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Headers of every answer.
pub const HEADERS: [(header::HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=()",
    ),
];

/// One file of the page.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its path in an address.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

impl File {
    pub(crate) fn answer(self) -> Response {
        // The name of everything but the entrance contains a hash of its content.
        let cache = match self.path {
            "/" => "no-store",
            _ => "public, max-age=31536000, immutable",
        };
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CACHE_CONTROL, cache),
        ];
        (headers, self.bytes).into_response()
    }
}

/// The file at a path: looked up in a list, so that no path leads anywhere else.
#[must_use]
pub fn find(path: &str) -> Option<File> {
    files::FILES.iter().find(|file| file.path == path).copied()
}

/// The description of the API.
pub const DESCRIPTION: &str = include_str!("../openapi.json");

pub(crate) async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_light_and_asks_nobody_else() {
        let bytes: usize = files::FILES.iter().map(|file| file.bytes.len()).sum();
        assert!(bytes < 300_000, "{bytes} bytes");
        let entrance = find("/").expect("there is an entrance");
        let text = std::str::from_utf8(entrance.bytes).expect("text");
        for forbidden in ["http://", "https://", "<style", " style=", " onclick="] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
        for part in text
            .split(['"'])
            .filter(|part| part.starts_with("/assets/"))
        {
            assert!(find(part).is_some(), "{part}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_page() {
        for path in [
            "/assets/../Cargo.toml",
            "/assets/%2e%2e/etc/passwd",
            "/../etc/passwd",
            "//etc/passwd",
            "/assets/",
            "",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
    }
}
