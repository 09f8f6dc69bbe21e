//! A headless Chromium, driven by WebDriver (Debian: chromium and chromium-driver).

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use testkit::cluster::free_port;
use tokio::process::{Child, Command};
use url::{ParseError, Url};

use super::eventually;

/// Looks for what breaks WCAG in a page. Under the MPL 2.0, beside its licence.
const AXE: &str = include_str!("../../axe/axe.min.js");

/// A browser of its own, which never outlives its scenario.
pub(crate) struct Browser {
    pub(crate) page: Client,
    /// Chromium ends with the pipe between the two.
    _driver: Child,
    _profile: tempfile::TempDir,
    /// Where pictures are written, if anywhere.
    pictures: Option<PathBuf>,
}

/// The program of this name; explains what is missing.
fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "{} is not installed: the operators' page is tested in a real browser. `deploy/ensure-chromium.sh` says \
             how to install it (Debian: apt-get install chromium chromium-driver)",
            names.join(" or ")
        )
    })
}

impl Browser {
    /// Opens one, with or without JavaScript.
    pub(crate) async fn open(javascript: bool) -> Self {
        let driver = program(&["chromedriver"]);
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"]);
        let port = free_port().unwrap();
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        let is_up = || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
        eventually("chromedriver listens", String::new, is_up).await;
        let arguments = [
            "--headless=new",
            // Root, as in a container, has no sandbox; nothing but our own page is loaded.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--remote-debugging-pipe",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let scripts = if javascript { 1 } else { 2 };
        let wanted = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "binary": chromium,
                "args": arguments,
                "prefs": { "profile.managed_default_content_settings.javascript": scripts },
            },
        });
        let Value::Object(wanted) = wanted else { unreachable!() };
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let pictures = std::env::var_os("ADMIN_PICTURES").map(PathBuf::from);
        Self { page, _driver: driver, _profile: profile, pictures }
    }

    /// Ends it in order.
    pub(crate) async fn close(self) {
        self.page.clone().close().await.unwrap();
    }

    /// A command of the DevTools protocol.
    async fn devtools(&self, command: &str, params: Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        self.page.issue_cmd(Raw { path: "goog/cdp/execute", body }).await.unwrap()
    }

    /// What the console has said since it was last asked.
    pub(crate) async fn console(&self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let lines = self.page.issue_cmd(Raw { path: "se/log", body }).await.unwrap();
        let lines = lines.as_array().unwrap().iter();
        lines.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Fails where the page has a serious fault for people who use a screen reader or a keyboard, where its policy was
    /// violated, and where a value of a customer was executed.
    pub(crate) async fn inspect(&self, name: &str) {
        let found = self.console().await;
        let is_bad =
            |line: &&String| line.contains("Content Security Policy") || line.contains("Refused");
        let refused: Vec<_> = found.iter().filter(is_bad).collect();
        assert!(refused.is_empty(), "{name}: {refused:?}");
        let hacked = self.page.execute("return window.hacked ?? null", Vec::new()).await.unwrap();
        assert!(hacked.is_null(), "{name}: a value of a customer was executed");
        self.page.execute(AXE, Vec::new()).await.unwrap();
        let script = "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then(r => done( \
                      r.violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(v => \
                      [v.id, v.help, v.nodes.map(n => n.html + ' ' + n.any.map(a => a.message).join('; '))])), \
                      e => done(String(e)))";
        let faults = self.page.execute_async(script, Vec::new()).await.unwrap();
        assert_eq!(faults, json!([]), "{name}: {faults:#}");
    }

    async fn resize(&self, width: u64, height: u64) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Pictures of the whole page, where they are wanted: light, dark and narrow.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = &self.pictures else { return };
        std::fs::create_dir_all(folder).unwrap();
        for (kind, scheme, width) in
            [("light", "light", 1280), ("dark", "dark", 1280), ("narrow", "light", 400)]
        {
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
            self.resize(width, 800).await;
            let script = "return document.documentElement.scrollHeight";
            let height = self.page.execute(script, Vec::new()).await.unwrap();
            self.resize(width, height.as_u64().unwrap()).await;
            let bytes = self.page.screenshot().await.unwrap();
            std::fs::write(folder.join(format!("{name}-{kind}.png")), bytes).unwrap();
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [] })).await;
    }

    /// Follows a link or presses a button, by what it says.
    pub(crate) async fn press(&self, says: &str) {
        let path = format!(
            "//a[normalize-space()='{says}' or starts-with(normalize-space(), '{says} ')] | //button[normalize-space()='{says}']"
        );
        let found = self.page.find(Locator::XPath(&path)).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => panic!("nothing says {says:?}: {error}\n{}", self.text().await),
        };
        found.click().await.unwrap();
    }

    /// What can be read in the page.
    pub(crate) async fn text(&self) -> String {
        self.page.find(Locator::Css("main")).await.unwrap().text().await.unwrap()
    }

    /// Waits until the page says this; where it never does, the failure shows what it says.
    pub(crate) async fn says(&self, text: &str) {
        let shown = Mutex::new(String::new());
        let explain = || shown.lock().unwrap().clone();
        let is_there = || async {
            let Ok(main) = self.page.find(Locator::Css("main")).await else { return false };
            let Ok(found) = main.text().await else { return false };
            let is_there = found.contains(text);
            *shown.lock().unwrap() = found;
            is_there
        };
        eventually(&format!("the page says {text:?}"), explain, is_there).await;
    }

    /// Types into a field, after what was there is gone.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let field = self.page.find(Locator::Css(selector)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }
}

/// A command that WebDriver itself does not have.
#[derive(Debug)]
struct Raw {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
