//! The hub's page for people, `GET /` of their listener.
//!
//! The page itself holds no data, so it needs no token. All that it shows and does goes through the JSON
//! paths, with the token that a person types. It is one text that loads nothing from elsewhere, and its
//! policy (`CSP`) prevents anything else from running: scripts in what it shows, and texts taken for HTML.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// The parts of the script, in their order.
const SCRIPTS: [&str; 3] =
    [include_str!("page/parts.js"), include_str!("page/acts.js"), include_str!("page/page.js")];

/// The text, and the policy that goes with it.
static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
    let script = format!("'use strict';\n{}", SCRIPTS.join("\n"));
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(&script),
        hash(STYLE)
    );
    (HTML.replace("@STYLE@", STYLE).replace("@SCRIPT@", &script), policy)
});

/// The page. `is_open`: no token is needed to read.
pub fn page(is_open: bool) -> Response {
    let (text, policy) = &*PAGE;
    let text = text.replace("@READING@", if is_open { "open" } else { "token" });
    (
        [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, policy.as_str()),
            (CACHE_CONTROL, "no-store"),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
        ],
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_text_that_asks_for_nothing_and_takes_no_text_for_html() {
        let (text, policy) = &*PAGE;
        let filled = !text.contains("@STYLE@") && !text.contains("@SCRIPT@");
        assert!(filled && text.matches("<script>").count() == 1 && text.matches("</script>").count() == 1);
        assert!(policy.matches("'sha256-").count() == 2 && !policy.contains("unsafe"), "{policy}");
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Storage",
            "cookie",
            "@import",
            "url(",
        ] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
        for forbidden in [" src=", " style=", " onclick=", " onsubmit=", "<iframe", "<form action"] {
            assert!(!HTML.contains(forbidden), "{forbidden}");
        }
        let outside =
            text.split("//").skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        let named: Vec<&str> = outside.filter_map(|r| r.lines().next()).collect();
        assert!(named.iter().all(|n| n.starts_with("www.w3.org/2000/svg")), "{named:?}");
        assert!(text.len() < 64 << 10, "{}", text.len());
    }
}
