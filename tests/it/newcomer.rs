//! From an empty folder to a value in DHIS2, as somebody new walks it, with no file edited but the mapping.
//!
//! `docs/first-report.md` shows the walk; each of its blocks is what a command printed here. Where it has changed,
//! `MJUMBE_REWRITE_DOCS=1 cargo test --test it newcomer::` writes the page anew.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mjumbe::sandbox::dhis2::country::{VILLAGE_REPORT, village_id};
use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::definition::{MONTHLY_REPORT, case_report, immunization, monthly_report};
use mjumbe::sandbox::rapidpro::{self, RapidPro, Reply};
use serde_json::{Value, json};

const PHONE: &str = "+250788123456";
const FEVER: &str = "FTRrcoaog83";

/// The country's systems, as they stand before anybody has heard of Mjumbe.
struct Country {
    rapidpro: RapidPro,
    dhis2: Dhis2,
    rapidpro_url: String,
    dhis2_url: String,
    flow: String,
    _servers: [Server; 2],
}

impl Country {
    async fn new() -> Self {
        let rapidpro = RapidPro::new(rapidpro::Options::default());
        let dhis2 = Dhis2::new(Options::new(Version::V2_40));
        let any = ([127, 0, 0, 1], 0).into();
        let servers = [
            Server::start(Arc::new(rapidpro.clone()), any).await.unwrap(),
            Server::start(Arc::new(dhis2.clone()), any).await.unwrap(),
        ];
        // The author of the flow calls fever by its Swahili name, which nobody can guess.
        let definition = monthly_report(None).to_string();
        let definition = definition.replace("\"result_name\":\"Fever cases\"", "\"result_name\":\"Homa\"");
        let flow = rapidpro.add_flow(serde_json::from_str(&definition).unwrap());
        let [rapidpro_url, dhis2_url] = [servers[0].url(), servers[1].url()];
        Self { rapidpro, dhis2, rapidpro_url, dhis2_url, flow, _servers: servers }
    }

    /// What somebody does in RapidPro's own pages.
    async fn in_rapidpro(&self, query: &str, body: Value) -> Value {
        let request =
            reqwest::Client::new().post(format!("{}/api/v2/contacts.json{query}", self.rapidpro_url));
        let request = request.header("authorization", format!("Token {}", self.rapidpro.token()));
        request.json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// What DHIS2 holds of the village's report.
    async fn report(&self, period: &str) -> Value {
        let query = format!("dataSet={VILLAGE_REPORT}&period={period}&orgUnit={}", village_id(1));
        let request = reqwest::Client::new().get(format!("{}/api/dataValueSets?{query}", self.dhis2_url));
        let request = request.header("authorization", format!("ApiToken {}", self.dhis2.token()));
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// The terminal, and what was seen on it.
struct Terminal {
    home: PathBuf,
    port: u16,
    blocks: Vec<(&'static str, String)>,
    /// What differs from walk to walk, and what stands for it on the page.
    constant: Vec<(String, String)>,
}

impl Terminal {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mjumbe"));
        command.current_dir(&self.home).env_remove("MJUMBE_CONFIG").args(arguments);
        // A port of one's own, and a round of polling each second instead of every 30.
        command.env("MJUMBE__SERVER__LISTEN", format!("127.0.0.1:{}", self.port));
        if self.home.join("mjumbe.toml").exists() {
            command.env("MJUMBE__RAPIDPRO__COUNTRY__POLL_INTERVAL_S", "1");
        }
        command
    }

    /// Runs a command, remembers what it showed, and gives its stdout.
    async fn run(&mut self, block: &'static str, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let (out, aside) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "mjumbe {arguments:?}\n{out}{aside}");
        self.show(block, &format!("$ {}\n{out}{aside}", line(arguments)));
        out
    }

    /// Runs a command that must not succeed; gives what it said.
    async fn refused(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "mjumbe {arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn show(&mut self, block: &'static str, text: &str) {
        let mut text = text.trim_end().to_owned();
        // How many tests the example has is its own business.
        if let Some((before, after)) = text.split_once(" passed, 0 failed") {
            let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
            text = format!("{before}3 passed, 0 failed{after}");
        }
        for (seen, shown) in &self.constant {
            text = text.replace(seen.as_str(), shown);
        }
        match self.blocks.iter_mut().find(|(name, _)| *name == block) {
            Some((_, before)) => *before = format!("{before}\n{text}"),
            None => self.blocks.push((block, text)),
        }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.home.join(file), text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.home.join(file)).unwrap()
    }
}

/// As one types it.
fn line(arguments: &[&str]) -> String {
    let quoted = |argument: &&str| match argument.contains(' ') {
        true => format!("\"{argument}\""),
        false => (*argument).to_owned(),
    };
    format!("mjumbe {}", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "))
}

/// Ends with the test, however it ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The month before this one, where the tenant is.
fn last_month() -> String {
    let zone = jiff::tz::TimeZone::get("Africa/Kigali").unwrap();
    let before = jiff::Timestamp::now().to_zoned(zone).date().first_of_month().yesterday().unwrap();
    before.strftime("%Y%m").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_walks_from_an_empty_folder_to_a_value_in_dhis2() {
    let country = Country::new().await;
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let constant = [
        (country.rapidpro_url.clone(), "https://rapidpro.example.org".to_owned()),
        (country.dhis2_url.clone(), "https://dhis2.example.org".to_owned()),
        (format!("127.0.0.1:{port}"), "127.0.0.1:8080".to_owned()),
        (last_month(), "202602".to_owned()),
        (folder.path().display().to_string(), "/home/you".to_owned()),
    ];
    let mut terminal =
        Terminal { home: folder.path().to_owned(), port, blocks: Vec::new(), constant: constant.into() };
    begin(&country, &mut terminal).await;
    map(&mut terminal).await;
    let contact = prepare(&country, &mut terminal).await;
    let _serving = serve(&mut terminal).await;
    try_out(&mut terminal, &contact).await;
    report(&country, &mut terminal, &contact).await;
    page(&terminal.blocks);
}

/// Event and tracker programs: what is written checks and passes its test, with something guessed.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_mapping_to_a_program_checks_and_passes_its_test() {
    let country = Country::new().await;
    for definition in [case_report(None), immunization(None)] {
        country.rapidpro.add_flow(definition);
    }
    let folder = tempfile::tempdir().unwrap();
    let (home, constant) = (folder.path().to_owned(), Vec::new());
    let mut terminal = Terminal { home, port: 9, blocks: Vec::new(), constant };
    begin(&country, &mut terminal).await;
    for (definition, program) in
        [(case_report(None), "Case report"), (immunization(None), "Child immunization")]
    {
        let flow = definition["name"].as_str().unwrap();
        let told = terminal
            .run("new", &["mapping", "new", "--flow", flow, "--program", program, "--name", "first"])
            .await;
        let written = terminal.read("mappings/first.yaml");
        assert!(!told.contains("\n0 of "), "{told}{written}");
        terminal.run("check", &["check"]).await;
        terminal.run("test", &["test"]).await;
        for file in ["first.yaml", "first.test.yaml"] {
            std::fs::remove_file(terminal.home.join("mappings").join(file)).unwrap();
        }
    }
}

/// What is not there is told with what was meant, and nothing is written over.
#[tokio::test(flavor = "multi_thread")]
async fn a_slip_is_told_with_what_was_meant() {
    let country = Country::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut terminal =
        Terminal { home: folder.path().to_owned(), port: 9, blocks: Vec::new(), constant: Vec::new() };
    begin(&country, &mut terminal).await;
    let listed: Value =
        serde_json::from_str(&terminal.run("list", &["flows", "list", "--json"]).await).unwrap();
    assert_eq!(listed[0]["name"], MONTHLY_REPORT);
    let show = ["flows", "show", &country.flow, "--json"];
    let shown: Value = serde_json::from_str(&terminal.run("show", &show).await).unwrap();
    assert_eq!(
        (&shown["results"][0]["key"], &shown["results"][4]["type"]),
        (&json!("homa"), &json!("yes/no"))
    );

    let slip = terminal.refused(&["flows", "show", "Montly village report"]).await;
    assert!(
        slip.contains("unknown-flow") && slip.contains("did you mean `Monthly village report`"),
        "{slip}"
    );
    let new = |set: &'static str| ["mapping", "new", "--flow", MONTHLY_REPORT, "--data-set", set];
    let slip = terminal.refused(&new("Montly village report")).await;
    assert!(slip.contains("unknown-data-set") && slip.contains("did you mean"), "{slip}");
    terminal.run("new", &new("VILLAGE_REPORT")).await;
    let written = terminal.read("mappings/monthly-village-report.yaml");
    let again = terminal.refused(&new(VILLAGE_REPORT)).await;
    assert!(again.contains("mappings/monthly-village-report.yaml is there already"), "{again}");
    assert_eq!(terminal.read("mappings/monthly-village-report.yaml"), written);
}

/// A folder, tokens, and is everything well?
async fn begin(country: &Country, terminal: &mut Terminal) {
    let [rapidpro, dhis2] = [country.rapidpro_url.clone(), country.dhis2_url.clone()];
    let arguments = [
        "init",
        "hmis",
        "--rapidpro",
        &rapidpro,
        "--dhis2",
        &dhis2,
        "--timezone",
        "Africa/Kigali",
        "--country",
        "RW",
    ];
    terminal.run("init", &arguments).await;
    terminal.home = terminal.home.join("hmis");
    terminal.write("secrets/rapidpro-token", country.rapidpro.token());
    terminal.write("secrets/dhis2-token", country.dhis2.token());
    let mut command = terminal.command(&["doctor"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains(country.rapidpro.token()) && !text.contains(country.dhis2.token()), "{text}");
    let rate = text.lines().find(|line| line.contains("durable commits")).unwrap();
    let number = rate.split_whitespace().nth(2).unwrap().to_owned();
    terminal.show("doctor", &format!("$ mjumbe doctor\n{}", text.replace(&number, "850")));
}

/// What the flow asks, a first mapping, and the one line that nobody could guess.
async fn map(terminal: &mut Terminal) {
    terminal.run("flows", &["flows", "list"]).await;
    terminal.run("flows", &["flows", "show", MONTHLY_REPORT]).await;
    let new = ["mapping", "new", "--flow", MONTHLY_REPORT, "--data-set", MONTHLY_REPORT];
    let told = terminal.run("new", &new).await;
    assert!(told.contains("4 of 6 values were guessed"), "{told}");
    let file = "mappings/monthly-village-report.yaml";
    let written = terminal.read(file);
    terminal.show("mapping", &written);
    terminal.run("test", &["check"]).await;
    terminal.run("test", &["test"]).await;

    let open = "# - { dataElement: FTRrcoaog83, value: { path: $.answers.RESULT, type: integer } }";
    assert!(written.contains(open), "{written}");
    let filled = open.replace("# - ", "- ").replace("RESULT", "homa");
    terminal.write(file, &written.replace(open, &filled));
    terminal.show("edit", &format!("-        {open}\n+        {filled}"));
    terminal.run("checked", &["check"]).await;
    terminal.run("checked", &["test"]).await;
}

/// What the mapping needs in RapidPro; the health worker gets her village there. Gives her uuid.
async fn prepare(country: &Country, terminal: &mut Terminal) -> String {
    terminal.run("setup", &["setup", "rapidpro", "--dry-run"]).await;
    terminal.run("setup-made", &["setup", "rapidpro"]).await;
    terminal.run("live", &["check", "--live"]).await;
    let contact = json!({ "name": "Aline", "urns": [format!("tel:{PHONE}")], "fields": {
        "dhis2_organisation_unit_id": village_id(1) } });
    let contact = country.in_rapidpro("", contact).await;
    let uuid = contact["uuid"].as_str().unwrap_or_else(|| panic!("{contact}")).to_owned();
    terminal.constant.push((uuid.clone(), "6b0f3d2c-1d4e-4a55-9a43-3c1f0e7d9b21".to_owned()));
    uuid
}

async fn serve(terminal: &mut Terminal) -> Serving {
    let mut command = terminal.command(&["token", "create", "my-client"]);
    let made = command.output().unwrap();
    assert!(made.status.success());
    let token = String::from_utf8(made.stdout).unwrap();
    let aside = String::from_utf8(made.stderr).unwrap();
    assert!(token.starts_with("mjumbe_"), "{token}");
    terminal.show("token", &format!("$ mjumbe token create my-client\nmjumbe_5f0c…\n{aside}"));
    let log = std::fs::File::create(terminal.home.join("log")).unwrap();
    let child = terminal.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    terminal.show("serve", &format!("$ mjumbe serve\nFHIR R4: http://127.0.0.1:{}/fhir", terminal.port));
    let serving = Serving(child);
    let ready = format!("http://127.0.0.1:{}/ready", terminal.port);
    until("the server is ready", || async {
        reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    serving
}

/// The sample answers of the real health worker, whose contact and village are known by now.
async fn try_out(terminal: &mut Terminal, contact: &str) {
    let mut command = terminal.command(&["flows", "show", MONTHLY_REPORT, "--example", "--contact", contact]);
    let example = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(example.status.success());
    terminal.write("answer.json", &String::from_utf8(example.stdout).unwrap());
    let arguments = ["flows", "show", MONTHLY_REPORT, "--example", "--contact", contact];
    terminal.show("run", &format!("$ {} > answer.json", line(&arguments)));
    let run = ["run", "answer.json", "--mapping", "monthly-village-report"];
    let home = terminal.home.clone();
    let attempt = terminal.command(&run);
    let attempt = std::sync::Mutex::new(attempt);
    until("contact and village are mirrored", || async {
        let output = attempt.lock().unwrap().output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(&village_id(1))
    })
    .await;
    assert!(home.exists());
    terminal.run("run", &run).await;
}

/// She answers by SMS, and the value is in DHIS2.
async fn report(country: &Country, terminal: &mut Terminal, contact: &str) {
    let replies = ["14", "5", "0", "1", "no"].map(Reply::text);
    country.rapidpro.take_through(contact, &country.flow, &replies).await.unwrap();
    let period = last_month();
    until("the value is in DHIS2", || async {
        let report = country.report(&period).await;
        report["dataValues"].as_array().is_some_and(|values| values.len() == 5)
    })
    .await;
    let report = country.report(&period).await;
    let values = report["dataValues"].as_array().unwrap();
    let fever = values.iter().find(|value| value["dataElement"] == FEVER).unwrap();
    assert_eq!(fever["value"], "14");
    let shown: Vec<Value> = values
        .iter()
        .map(|value| {
            let kept = ["dataElement", "period", "orgUnit", "categoryOptionCombo", "value"];
            kept.iter()
                .map(|key| ((*key).to_owned(), value[*key].clone()))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
        .collect();
    let url = format!(
        "{}/api/dataValueSets?dataSet={VILLAGE_REPORT}&period={period}&orgUnit={}",
        country.dhis2_url,
        village_id(1)
    );
    let mut shown: Vec<String> = shown.iter().map(|value| format!("  {value}")).collect();
    shown.sort();
    terminal
        .show("dhis2", &format!("$ curl -H \"Authorization: ApiToken …\" \"{url}\"\n{}", shown.join(",\n")));
    let list = std::sync::Mutex::new(terminal.command(&["deliveries", "list", "--json", "--each"]));
    until("the completion is settled too", || async {
        let listed: Value = serde_json::from_slice(&list.lock().unwrap().output().unwrap().stdout).unwrap();
        let open = |row: &&Value| matches!(row["status"].as_str(), Some("waiting" | "sending"));
        listed["deliveries"].as_array().is_some_and(|rows| rows.iter().find(open).is_none())
    })
    .await;
    terminal.run("deliveries", &["deliveries", "list"]).await;
}

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Holds the page against the walk, or writes it anew.
fn page(blocks: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/first-report.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut written = page.clone();
    for (name, text) in blocks {
        written = replaced(&written, name, text);
    }
    if std::env::var_os("MJUMBE_REWRITE_DOCS").is_some() {
        std::fs::write(&path, written).unwrap();
        return;
    }
    let marks = page.matches("<!-- walk: ").count();
    assert_eq!(marks, blocks.len(), "the page shows other blocks than the walk has");
    if page != written {
        let differs = page.lines().zip(written.lines()).find(|(left, right)| left != right);
        panic!(
            "docs/first-report.md is not what the walk prints (MJUMBE_REWRITE_DOCS=1 writes it anew): {differs:?}"
        );
    }
}

/// The page with another text in the fence behind `<!-- walk: NAME -->`.
fn replaced(page: &str, name: &str, text: &str) -> String {
    let mark = format!("<!-- walk: {name} -->\n```");
    let at = page.find(&mark).unwrap_or_else(|| panic!("the page has no block `{name}`"));
    let begin = at + mark.len() + page[at + mark.len()..].find('\n').unwrap() + 1;
    let end = begin + page[begin..].find("\n```").unwrap() + 1;
    format!("{}{text}\n{}", &page[..begin], &page[end..])
}
