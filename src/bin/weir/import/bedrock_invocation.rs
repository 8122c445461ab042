//! Amazon Bedrock's model invocation logs, from S3, or from CloudWatch (which wraps each in `message`).

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;
use std::borrow::Cow;

/// `{"schemaType": "ModelInvocationLog", …}`.
pub struct Invocation;

impl Format for Invocation {
    fn name(&self) -> &'static str {
        "bedrock-invocation"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.text("schemaType").as_deref() == Some("ModelInvocationLog")
            || r.has(&["operation", "modelId", "input"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let operation = match r.text("operation").as_deref() {
            Some("Converse") => "converse",
            Some("ConverseStream") => "converse-stream",
            Some("InvokeModel") => "invoke",
            Some("InvokeModelWithResponseStream") => "invoke-with-response-stream",
            other => {
                let name = other.unwrap_or("(none)");
                // What is no name of an operation may be anything.
                let is_name =
                    name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphabetic() || b"()".contains(&b));
                let what =
                    format!("operation {} of Bedrock is not known", if is_name { name } else { "(no name)" });
                return Err(Skip::of(what, "an operation of Bedrock that is not known"));
            }
        };
        let model = r.text("modelId").unwrap_or(Cow::Borrowed("m")).replace('/', "%2F");
        let found = Found {
            time: r.text("timestamp"),
            path: Cow::Owned(format!("/model/{model}/{operation}")),
            // Above 100 KB it lies in S3: `inputBodyS3Path`.
            body: Body::json(r.json("input.inputBodyJson")),
            key: r.text("identity.arn").map(|arn| match arn.split_once(":assumed-role/") {
                // The session behind the role is another one each time.
                Some((front, role)) => {
                    Cow::Owned(format!("{front}:assumed-role/{}", role.split('/').next().unwrap_or(role)))
                }
                None => arn,
            }),
            tenant: r.text("accountId"),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}
