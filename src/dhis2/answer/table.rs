//! The table of whole answers. The first row that fits decides.

use super::summary::{Parsed, Status, Summary};
use crate::delivery::destination::{FailureKind, Reason};
use crate::dhis2::version::Generation;

/// What an answer to an import means for the rows that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Every row is there as it was sent.
    Stored,
    /// The conflicts say which rows were refused; the others are there.
    RowByRow,
    /// Nothing is there; the conflicts say which rows spoiled it for the others.
    GroupRefused,
    /// Nothing is there, or (`unclear`) nobody knows: read back.
    Failed { kind: FailureKind, unclear: bool },
}

/// One row of the table.
pub struct Row {
    pub meaning: Meaning,
    pub code: &'static str,
    /// What happened, for a person.
    pub message: &'static str,
    pub hint: &'static str,
    fits: fn(&Parsed, Generation) -> bool,
    /// `2.40/NAME` and `2.43/NAME`; empty where only a proxy in front of DHIS2 says this.
    pub recordings: &'static [&'static str],
}

impl Row {
    pub fn reason(&self) -> Reason {
        Reason::new(self.code, self.message, self.hint)
    }
}

/// The row that decides.
pub fn classify(parsed: &Parsed, generation: Generation) -> &'static Row {
    ANSWERS.iter().find(|row| (row.fits)(parsed, generation)).unwrap_or(&UNREADABLE)
}

const fn failed(kind: FailureKind) -> Meaning {
    Meaning::Failed { kind, unclear: false }
}

const fn unclear(kind: FailureKind) -> Meaning {
    Meaning::Failed { kind, unclear: true }
}

static UNREADABLE: Row = Row {
    meaning: unclear(FailureKind::Unavailable),
    code: "dhis2-answer-unreadable",
    message: "the answer is not one that DHIS2 gives",
    hint: "look at the exchange: `mjumbe deliveries show`; a proxy may have answered in DHIS2's place",
    fits: |_, _| true,
    recordings: &[],
};

const CREDENTIALS: &str =
    "check the token or password of this destination; a token lives 30 days unless told";

/// Whole answers, most telling first.
pub static ANSWERS: &[Row] = &[
    Row {
        meaning: failed(FailureKind::Unauthorised),
        code: "dhis2-login-page",
        message: "DHIS2, or a proxy in front of it, sends to its login page",
        hint: CREDENTIALS,
        fits: |seen, _| seen.is_redirect,
        recordings: &["2.40/system-info.anonymous.browser", "2.43/auth-001-none-json"],
    },
    Row {
        meaning: failed(FailureKind::Unavailable),
        code: "dhis2-database-down",
        message: "DHIS2 refused the credentials only after a long wait, as it does while its database is down",
        hint: "nothing to do here: it is tried again; see whether DHIS2's database runs",
        fits: |seen, _| seen.http == 401 && seen.is_slow,
        recordings: &["2.43/fault-05-db-down-import-basic"],
    },
    Row {
        meaning: failed(FailureKind::Unauthorised),
        code: "dhis2-credentials-refused",
        message: "DHIS2 refuses the credentials",
        hint: CREDENTIALS,
        fits: |seen, _| seen.http == 401,
        recordings: &[
            "2.40/auth.wrong-password",
            "2.40/apiToken.unknown",
            "2.40/fault.db-down.dataValueSets",
            "2.43/auth-007-wrong-password",
            "2.43/auth-030-pat-expired",
        ],
    },
    Row {
        meaning: failed(FailureKind::Unauthorised),
        code: "dhis2-credentials-refused",
        message: "DHIS2 says that the token is damaged",
        hint: CREDENTIALS,
        fits: |seen, _| seen.http == 400 && seen.message.contains("Checksum validation failed"),
        recordings: &["2.43/auth-022-pat-wrong"],
    },
    Row {
        meaning: failed(FailureKind::Unauthorised),
        code: "dhis2-forbidden",
        message: "the account may not do this",
        hint: "the account needs the authority F_DATAVALUE_ADD and write access to the data set",
        fits: |seen, _| seen.http == 403,
        recordings: &["2.40/http.403.no-authority.dataValueSets"],
    },
    Row {
        meaning: failed(FailureKind::Unavailable),
        code: "dhis2-not-found",
        message: "there is no DHIS2 at this address",
        hint: "the url must be the one before /api, e.g. https://example.org/dhis",
        fits: |seen, _| seen.http == 404,
        recordings: &["2.40/http.404.unknown-path", "2.43/system-007-404-path"],
    },
    Row {
        meaning: failed(FailureKind::Throttled),
        code: "dhis2-throttled",
        message: "a proxy in front of DHIS2 asks for fewer requests",
        hint: "lower budget_per_hour of this destination",
        fits: |seen, _| seen.http == 429,
        recordings: &[],
    },
    Row {
        meaning: unclear(FailureKind::Unavailable),
        code: "dhis2-unavailable",
        message: "DHIS2 is down or starting: the proxy in front of it says so",
        hint: "nothing to do here: it is tried again",
        fits: |seen, _| matches!(seen.http, 502..=504),
        recordings: &[],
    },
    Row {
        meaning: failed(FailureKind::Rejected),
        code: "dhis2-request-refused",
        message: "DHIS2 does not take this request",
        hint: "look at the exchange: `mjumbe deliveries show`",
        fits: |seen, _| matches!(seen.http, 400 | 405 | 406 | 413 | 415),
        recordings: &[
            "2.40/dvs.strategy.bad",
            "2.40/http.405",
            "2.40/http.415",
            "2.43/dvs-096-empty-body",
            "2.43/dvs-280-no-content-type",
        ],
    },
    Row {
        meaning: unclear(FailureKind::Unavailable),
        code: "dhis2-server-error",
        message: "DHIS2 failed while it worked on the request",
        hint: "nothing to do here: the cells are read back and it is tried again; DHIS2's log says more",
        fits: |seen, _| seen.http >= 500,
        recordings: &[
            "2.40/fault.db-down.me",
            "2.40/fault.db-down.token.try1",
            "2.43/dvs-043-pe-malformed",
            "2.43/dvs-067-val-number-json",
            "2.43/fault-03-db-stopped-during-import",
            "2.43/fault-04-db-down-import",
        ],
    },
    Row {
        meaning: unclear(FailureKind::Unavailable),
        code: "dhis2-answer-not-json",
        message: "a page came instead of an answer, perhaps from a proxy",
        hint: "open the url of this destination in a browser from this machine",
        fits: |seen, _| !seen.is_json,
        recordings: &["2.40/dvs.xml.accept-xml"],
    },
    Row {
        meaning: unclear(FailureKind::Collision),
        code: "dhis2-import-collided",
        message: "the import broke off, as it does when two imports use a period for the first time",
        hint: "nothing to do here: the cells are read back and sent again",
        fits: |seen, _| seen.process_failed() && described(seen).contains("Failed to flush BatchHandler"),
        recordings: &[
            "2.40/concurrency.dvs.same-new-cells#b",
            "2.40/dvs.nul.with-good",
            "2.40/fault.dvs.bad-row-at-end-of-3000",
            "2.43/cdsr-40-new-period",
            "2.43/cdsr-41-new-period-mixed",
        ],
    },
    Row {
        meaning: unclear(FailureKind::Unavailable),
        code: "dhis2-import-failed",
        message: "the import broke off; a part of it may be stored",
        hint: "nothing to do here: the cells are read back and it is tried again",
        fits: |seen, _| seen.process_failed(),
        recordings: &[
            "2.40/dvs.nul-char",
            "2.40/dvs.completeDate.bad",
            "2.40/fault.dvs.bad-row-at-end-of-20-updates",
            "2.43/cdsr-08-bad-period",
        ],
    },
    Row {
        meaning: Meaning::GroupRefused,
        code: "dhis2-group-refused",
        message: "DHIS2 refused all values of the data set together",
        hint: "the values that are not to blame are sent again without the others",
        fits: |seen, _| summary(seen, |it| it.status == Status::Error && it.counts.ignored == 0),
        recordings: &[
            "2.40/dvs.wrong.dataSet",
            "2.40/dvs.wrong.aoc.header",
            "2.43/dvs-017-ou-unknown",
            "2.43/dvs-019-de-unknown",
            "2.43/dvs-020-de-malformed",
            "2.43/dvs-092-duplicates-in-payload",
            "2.43/dvs-203-clerk-mixed-periods",
        ],
    },
    Row {
        meaning: Meaning::RowByRow,
        code: "dhis2-rows-refused",
        message: "DHIS2 refused some of the values",
        hint: "see the reason of each value",
        fits: |seen, _| summary(seen, |it| !it.conflicts.is_empty()),
        recordings: &[
            "2.40/dvs.mixed.good-bad",
            "2.40/dvs.all-bad",
            "2.40/concurrency.dvs.same-new-cells#a",
            "2.40/cdsr.mixed",
            "2.40/cdsr.all-bad",
            "2.43/dvs-062-val-integer-text",
            "2.43/dvs-064-val-all-bad",
            "2.43/dvs-100-mixed-20",
            "2.43/cdsr-11-mixed",
        ],
    },
    Row {
        meaning: unclear(FailureKind::Collision),
        code: "dhis2-stored-nothing",
        message: "DHIS2 says success and counts values that it did not store",
        hint: "nothing to do here: the cells are read back and sent again",
        fits: |seen, generation| {
            generation == Generation::Pipeline
                && summary(seen, |it| it.status == Status::Success && it.counts.ignored > 0)
        },
        recordings: &["2.43/dvs-277-nul", "2.43/dvs-289-nul-in-577", "2.43/fault-21-new-period-race"],
    },
    Row {
        meaning: unclear(FailureKind::Collision),
        code: "dhis2-rows-rejected-silently",
        message: "DHIS2 rejected values without saying why",
        hint: "nothing to do here: the cells are read back and sent again",
        fits: |seen, _| summary(seen, |it| !it.rejected.is_empty() || it.status != Status::Success),
        recordings: &[
            "2.40/dvs.strategy.CREATE.existing",
            "2.40/cdsr.strategy.CREATE.existing",
            "2.43/cdsr-29-strategy-create-existing",
        ],
    },
    Row {
        meaning: Meaning::Stored,
        code: "dhis2-stored",
        message: "DHIS2 stored everything",
        hint: "",
        fits: |seen, _| summary(seen, |it| it.status == Status::Success),
        recordings: &[
            "2.40/dvs.new",
            "2.40/dvs.unchanged",
            "2.40/dvs.mixed-new-update-unchanged",
            "2.40/dvs.delete.deleted-true",
            "2.40/dvs.delete.deleted-true.again",
            "2.40/dvs.value.zero-not-significant",
            "2.40/dvs.strict.all-good",
            "2.40/cdsr.new",
            "2.40/cdsr.again",
            "2.43/dvs-001-new",
            "2.43/dvs-002-repeat",
            "2.43/dvs-004-delete-flag",
            "2.43/dvs-007-delete-flag-never-existed",
            "2.43/cdsr-02-new",
            "2.43/cdsr-03-repeat",
            "2.43/fault-10-db-back-import",
        ],
    },
    Row {
        meaning: unclear(FailureKind::Rejected),
        code: "dhis2-refused-without-summary",
        message: "DHIS2 refused the request and gave no import summary",
        hint: "look at the exchange: `mjumbe deliveries show`; DHIS2's log says more",
        fits: |seen, _| seen.http == 409,
        recordings: &["2.43/dvs-210-auto-group-one-bad-group"],
    },
];

fn summary(seen: &Parsed, test: fn(&Summary) -> bool) -> bool {
    seen.summary.as_ref().is_some_and(test)
}

fn described(seen: &Parsed) -> &str {
    seen.summary.as_ref().map_or("", |summary| summary.description.as_str())
}
