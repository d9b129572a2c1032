//! A contact as RapidPro shows it.

use serde_json::Value;

/// The parts of a contact that matter here.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Shown {
    pub uuid: String,
    pub urns: Vec<String>,
    pub active: bool,
    /// Has neither a name, nor groups, nor values: RapidPro made it when a message came in.
    pub stub: bool,
    fields: Value,
}

impl Shown {
    pub fn read(contact: &Value) -> Option<Self> {
        let text = |key: &str| contact.get(key).and_then(Value::as_str);
        let urns = contact.get("urns").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let groups = contact.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let fields = contact.get("fields").cloned().unwrap_or(Value::Null);
        let values = fields.as_object().is_some_and(|fields| fields.values().any(|value| !value.is_null()));
        // Before 8.1 there is no `status`.
        let barred = |key: &str| contact.get(key).and_then(Value::as_bool).unwrap_or(false);
        let active = text("status")
            .map_or_else(|| !barred("blocked") && !barred("stopped"), |status| status == "active");
        Some(Self {
            uuid: text("uuid")?.to_owned(),
            urns: urns.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            active,
            stub: active
                && groups.is_empty()
                && !values
                && text("name").is_none_or(|name| name.trim().is_empty()),
            fields,
        })
    }

    /// The value of a field as RapidPro understood it.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }
}
