//! The workspace itself: its users, its channels.

use serde_json::{Value, json};

use super::super::http::Answer;
use super::super::time::micros;
use super::gate::Call;
use super::paging::{Window, page};
use super::state::World;

/// Name, address and scheme of each channel.
const CHANNELS: &[(&str, &str, &str)] =
    &[("SMS 8833", "+250785551212", "tel"), ("WhatsApp MoH", "12345678", "whatsapp")];

fn channel_uuid(world: &World, scheme: &str) -> String {
    let own = format!("{}/{scheme}", world.uuid);
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, own.as_bytes()).to_string()
}

/// `{uuid, name}` of the channel that serves a URN.
pub(super) fn channel_of(world: &World, urn: &str) -> Value {
    let scheme = urn.split_once(':').map_or("tel", |(scheme, _)| scheme);
    let name = CHANNELS.iter().find(|(.., own)| *own == scheme).map_or("SMS 8833", |(name, ..)| name);
    json!({ "uuid": channel_uuid(world, scheme), "name": name })
}

/// `{address, name, uuid}` of the channel for text messages, as resthooks name it.
pub(super) fn channel(world: &World) -> Value {
    json!({ "address": "+250785551212", "name": "SMS 8833", "uuid": channel_uuid(world, "tel") })
}

pub(super) fn show(world: &World) -> Answer {
    let shown = json!({ "uuid": world.uuid, "name": "Ministry of Health", "country": world.country,
        "languages": ["eng", "fra", "kin"], "timezone": world.timezone, "date_style": "day_first",
        "anon": false, "credits": { "used": -1, "remaining": -1 }, "primary_language": "eng" });
    Answer::json(200, &shown)
}

/// One user for each token.
pub(super) fn users(world: &World, call: &Call) -> Answer {
    let show = |(at, (_, role)): (usize, &(String, String))| {
        let role = role.to_lowercase();
        let email = if at == 0 { "admin@moh.example".to_owned() } else { format!("{role}{at}@moh.example") };
        json!({ "email": email, "first_name": role, "last_name": "", "role": role,
            "created_on": micros(world.created) })
    };
    let email = call.request.parameter("email");
    let rows = world.tokens.iter().enumerate().map(show);
    let rows = rows.filter(|user| email.is_none_or(|email| user["email"] == email));
    page(call.request, Window::all(), rows.map(|user| (world.created, user)).collect())
}

pub(super) fn channels(world: &World, call: &Call) -> Answer {
    let asked = |name: &str| call.request.parameter(name);
    let show = |(name, address, scheme): &(&str, &str, &str)| {
        let country = (*scheme == "tel").then(|| world.country.clone());
        json!({ "uuid": channel_uuid(world, scheme), "name": name, "address": address, "country": country,
            "device": null, "last_seen": null, "created_on": micros(world.created) })
    };
    let rows = CHANNELS
        .iter()
        .map(show)
        .filter(|channel| asked("uuid").is_none_or(|uuid| channel["uuid"] == uuid))
        .filter(|channel| asked("address").is_none_or(|address| channel["address"] == address))
        .map(|channel| (world.created, channel))
        .collect();
    page(call.request, Window::all(), rows)
}
