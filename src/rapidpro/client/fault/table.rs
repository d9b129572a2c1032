//! The table itself: which answers mean what. One row for each, with its recordings.

use super::Kind;

/// One row: which answers it recognises and what they mean.
pub(super) struct Row {
    /// 0 stands for every status of 500 and above.
    pub(super) status: u16,
    /// Text that the body contains; empty fits every body.
    pub(super) text: &'static str,
    pub(super) kind: Kind,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

const CHECK_TOKEN: &str = "check the token of this workspace (API Tokens in RapidPro's settings)";

/// The first row that fits decides. The comment names a recording of each.
pub(super) const TABLE: &[Row] = &[
    // auth_none, auth_bearer_scheme
    Row {
        status: 403,
        text: "Authentication credentials were not provided",
        kind: Kind::Unauthenticated,
        code: "rapidpro-token-missing",
        message: "RapidPro saw no token",
        hint: CHECK_TOKEN,
    },
    // auth_invalid_token, auth_malformed_no_key, auth_basic_bad
    Row {
        status: 403,
        text: "Invalid token",
        kind: Kind::Unauthenticated,
        code: "rapidpro-token-invalid",
        message: "RapidPro does not know this token",
        hint: CHECK_TOKEN,
    },
    // auth_surveyor_runs_get, auth_surveyor_forbidden_contacts_post
    Row {
        status: 403,
        text: "You do not have permission",
        kind: Kind::Forbidden,
        code: "rapidpro-role-forbids",
        message: "the token's role may not do this",
        hint: "use a token of an administrator or editor",
    },
    // read only: "Cannot modify system object."
    Row {
        status: 403,
        text: "system object",
        kind: Kind::Refused,
        code: "rapidpro-system-object",
        message: "RapidPro's own objects cannot be changed",
        hint: "name another group or field",
    },
    // suspended_org_contacts_post, suspended_org_flow_starts_post
    Row {
        status: 400,
        text: "is currently suspended",
        kind: Kind::Suspended,
        code: "rapidpro-workspace-suspended",
        message: "the workspace is suspended: nothing can be written",
        hint: "ask who runs RapidPro to lift the suspension; deliveries go on by themselves",
    },
    // contacts_post_update_deleted
    Row {
        status: 400,
        text: "Deleted contacts can't be modified",
        kind: Kind::Gone,
        code: "rapidpro-contact-deleted",
        message: "the contact was deleted in RapidPro",
        hint: "it is looked for by URN and made again",
    },
    // anon_contacts_get_by_urn, anon_contacts_post_update_urns
    Row {
        status: 400,
        text: "anonymous organizations",
        kind: Kind::Refused,
        code: "rapidpro-workspace-anonymous",
        message: "an anonymous workspace does not let URNs be looked up or changed",
        hint: "link contacts by uuid, or turn off anonymity in RapidPro",
    },
    // contacts_post_name_too_long, contacts_post_group_missing …
    Row {
        status: 400,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-invalid",
        message: "RapidPro refused the request's content",
        hint: "see the exchange with `mjumbe deliveries show`",
    },
    // contacts_get_bad_cursor
    Row {
        status: 404,
        text: "Invalid cursor",
        kind: Kind::Refused,
        code: "rapidpro-cursor-invalid",
        message: "RapidPro does not know this page",
        hint: "the list is read again from its beginning",
    },
    // contacts_post_update_unknown_uuid, groups_delete_unknown
    Row {
        status: 404,
        text: "matches the given query",
        kind: Kind::Gone,
        code: "rapidpro-not-found",
        message: "the object does not exist in this workspace",
        hint: "it was deleted, or belongs to another workspace",
    },
    // unknown_endpoint
    Row {
        status: 404,
        text: "",
        kind: Kind::Unavailable,
        code: "rapidpro-not-an-api",
        message: "there is no RapidPro API at this address",
        hint: "check `url`: it is the address of RapidPro without /api/v2",
    },
    // method_not_allowed_put
    Row {
        status: 405,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-method-not-allowed",
        message: "RapidPro does not allow this request here",
        hint: "this RapidPro may be too old or too new; report its version",
    },
    // groups_post_limit_reached_409, fields_post_limit_reached_409
    Row {
        status: 409,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-limit-reached",
        message: "the workspace has reached its limit of such objects",
        hint: "delete unused ones, or have the limit raised",
    },
    // body_wrong_content_type
    Row {
        status: 415,
        text: "",
        kind: Kind::Refused,
        code: "rapidpro-media-type",
        message: "RapidPro did not take the body as JSON",
        hint: "something between Mjumbe and RapidPro changes requests",
    },
    // throttled_429_runs, throttled_429_contacts_post
    Row {
        status: 429,
        text: "",
        kind: Kind::Throttled,
        code: "rapidpro-throttled",
        message: "RapidPro's hourly limit is used up",
        hint: "others use the same workspace; lower `budget_per_hour` or wait",
    },
    // contacts_post_same_urn_twice, mailroom_down_contacts_post_create
    Row {
        status: 0,
        text: "",
        kind: Kind::Unavailable,
        code: "rapidpro-server-error",
        message: "RapidPro failed while it worked on the request",
        hint: "it is tried again by itself; if it goes on, look at mailroom",
    },
];

/// What an answer that no row fits means: a proxy's page, a redirect.
pub(super) const FOREIGN: Row = Row {
    status: 0,
    text: "",
    kind: Kind::Unavailable,
    code: "rapidpro-foreign-answer",
    message: "the answer is not RapidPro's",
    hint: "check `url`, proxies and firewalls between Mjumbe and RapidPro",
};
