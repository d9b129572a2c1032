//! What webhooks say: a hint that something happened.
//!
//! **Pure, and believes nothing**: RapidPro calls before it commits, at most once for a POST, and repeats
//! after a crash. So a body is read for whom and what it is about, the poller is woken, and what is
//! stored comes from polling.

use serde_json::Value;

/// Which run may have moved on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint {
    pub flow: Option<uuid::Uuid>,
    pub contact: Option<uuid::Uuid>,
    /// Only resthooks, and bodies whose author added `run.uuid`, say it.
    pub run: Option<uuid::Uuid>,
}

/// Why a body is not a webhook of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("the body names neither a flow, a contact nor a run by its uuid")]
    Nameless,
}

impl WebhookError {
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAnObject => "webhook-not-json",
            Self::Nameless => "webhook-nameless",
        }
    }

    pub fn hint(self) -> &'static str {
        "leave the body of the webhook as the flow editor writes it, or call a resthook"
    }
}

/// Reads the body of `call_webhook` (as the editor writes it, or an author's own with a `run`) or of a
/// resthook.
///
/// # Errors
/// [`WebhookError`].
pub fn read(body: &[u8]) -> Result<Hint, WebhookError> {
    let body: Value = serde_json::from_slice(body).map_err(|_| WebhookError::NotAnObject)?;
    if !body.is_object() {
        return Err(WebhookError::NotAnObject);
    }
    let hint =
        Hint { flow: named(&body, "flow"), contact: named(&body, "contact"), run: named(&body, "run") };
    if hint == Hint::default() { Err(WebhookError::Nameless) } else { Ok(hint) }
}

/// `{"run": {"uuid": "…"}}`, or `{"run": "…"}` as authors write it.
fn named(body: &Value, key: &str) -> Option<uuid::Uuid> {
    let value = body.get(key)?;
    let text = value.as_str().or_else(|| value.get("uuid")?.as_str())?;
    uuid::Uuid::parse_str(text).ok()
}
