//! `mjumbe metadata pull`, and `mjumbe check` that then works offline.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use mjumbe::sandbox::dhis2::country::facility_id;
use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::http::Server;

const MAPPING: &str = r#"mapping: dose
from: { resource: Immunization }
to:
  - dhis2.tracker:
      type: MjChildType
      find: [{ attribute: MjChildNo01, value: $.resource.id }]
      orgUnit: UNIT
      enrollments:
        - program: MjImmunize1
          enrolledAt: $.resource.recorded
          events:
            - programStage: MjDoseStag1
              key: $.resource.id
              dataValues:
                - { dataElement: MjDoseVacc1, value: BGC }
                - { dataElement: MjBirthWgt1, value: 3200 }
"#;

fn mjumbe(folder: &Path, token: &str, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mjumbe"))
        .args(["--config", "mjumbe.toml"])
        .args(arguments)
        .current_dir(folder)
        .env("MJUMBE__DHIS2__NATIONAL__TOKEN", token)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_is_checked_offline() {
    let dhis2 = Dhis2::new(Options::new(Version::V2_43));
    let server = Server::start(Arc::new(dhis2.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    let mapping = folder.path().join("mappings/dose.yaml");
    std::fs::write(&mapping, MAPPING.replace("UNIT", &facility_id(0))).unwrap();
    let config = format!(
        "mappings = \"mappings\"\n[store]\nurl = \"sqlite://mjumbe.db\"\n[dhis2.national]\nurl = \"{}\"\n",
        server.url()
    );
    std::fs::write(folder.path().join("mjumbe.toml"), config).unwrap();
    let run = |arguments: &[&str]| mjumbe(folder.path(), dhis2.token(), arguments);
    // Nothing was pulled: only the file itself is judged, and no store is made for it.
    let (output, text) = run(&["check"]);
    assert!(output.status.success(), "{text}");
    assert!(!folder.path().join("mjumbe.db").exists());
    let (output, text) = run(&["metadata", "pull", "--to", "metadata.json"]);
    assert!(output.status.success() && text.contains("1 programs"), "{text}");
    let (output, text) = run(&["metadata", "pull"]);
    assert!(output.status.success(), "{text}");
    drop(server);
    for arguments in [&["check", "--metadata", "metadata.json"][..], &["check"][..]] {
        let (output, text) = run(arguments);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("error[dhis2-value-option]") && text.contains("dose.yaml:15:"), "{text}");
        assert!(text.contains("did you mean `BCG`?"), "{text}");
        assert!(
            text.contains("error[dhis2-element-not-in-stage]") && text.contains("dose.yaml:16:"),
            "{text}"
        );
    }
    let mended = MAPPING.replace("UNIT", &facility_id(0)).replace("BGC", "BCG");
    let mended = mended.replace("                - { dataElement: MjBirthWgt1, value: 3200 }\n", "");
    std::fs::write(&mapping, mended).unwrap();
    let (output, text) = run(&["check"]);
    assert!(output.status.success() && text.contains("by DHIS2's metadata"), "{text}");
}
