//! A real browser: headless Chromium, driven over its `DevTools` protocol.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{await_fact, websocket::WebSocket};

/// A running browser with a fresh profile; closed when dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    devtools: WebSocket,
    calls: u64,
    _profile: TempDir,
}

/// A private window: its cookies and its cache are its own.
#[derive(Debug)]
pub(crate) struct Window(String);

/// A page in a window.
#[derive(Debug)]
pub(crate) struct Tab {
    session: String,
}

/// A screen that a page is looked at on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    width: u32,
    height: u32,
    scheme: &'static str,
}

impl Screen {
    /// A desk and a phone, by day and by night.
    pub(crate) const ALL: [Self; 4] = [
        Self { width: 1280, height: 900, scheme: "light" },
        Self { width: 1280, height: 900, scheme: "dark" },
        Self { width: 360, height: 740, scheme: "light" },
        Self { width: 360, height: 740, scheme: "dark" },
    ];

    /// A word for it.
    pub(crate) fn name(self) -> String {
        let kind = if self.width < 600 { "phone" } else { "desktop" };
        format!("{kind}-{}", self.scheme)
    }
}

impl Browser {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let profile = TempDir::new().unwrap();
        let program = env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
        let child = Command::new(&program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program} does not start: {error}. Install it (Debian: apt-get install chromium; tests/run does) or set CHROMIUM to a Chromium or Chrome")
            });
        let (address, path) = await_fact(|| devtools(profile.path()), || format!("the DevTools of {program}"));
        let devtools = WebSocket::open(address, &path).expect("DevTools");
        Self { child, devtools, calls: 0, _profile: profile }
    }

    /// Opens a private window.
    pub(crate) fn window(&mut self) -> Window {
        let made = self.call(None, "Target.createBrowserContext", &json!({}));
        Window(made["browserContextId"].as_str().expect("a context").into())
    }

    /// Opens a page in a window and waits until it has loaded.
    pub(crate) fn open(&mut self, window: &Window, url: &str) -> Tab {
        let target = self.call(None, "Target.createTarget", &json!({ "url": url, "browserContextId": window.0 }));
        let tab = self.attach(&target["targetId"]);
        self.await_loaded(&tab, url);
        tab
    }

    /// Waits for a page whose address begins like this, in a tab that the site has opened by itself.
    pub(crate) fn opened(&mut self, window: &Window, url: &str) -> Tab {
        let target = await_fact(
            || {
                let all = self.call(None, "Target.getTargets", &json!({}));
                let mut pages = all["targetInfos"].as_array()?.iter().filter(|target| target["type"] == "page");
                let page = pages.find(|page| {
                    page["browserContextId"] == *window.0 && page["url"].as_str().is_some_and(|at| at.starts_with(url))
                })?;
                Some(page["targetId"].clone())
            },
            || format!("a tab at {url}"),
        );
        let tab = self.attach(&target);
        self.await_loaded(&tab, url);
        tab
    }

    /// Clicks what a CSS selector finds.
    pub(crate) fn click(&mut self, tab: &Tab, selector: &str) {
        let script = format!("(found => found ? (found.click(), true) : false)(document.querySelector({selector:?}))");
        await_fact(
            || self.evaluate(tab, &script).as_bool().filter(|clicked| *clicked),
            || format!("something to click: {selector}"),
        );
    }

    /// Waits until the tab shows a page whose address begins like this, images included.
    pub(crate) fn await_loaded(&mut self, tab: &Tab, url: &str) {
        let script = format!("document.readyState === 'complete' && location.href.startsWith({url:?})");
        await_fact(
            || self.evaluate(tab, &script).as_bool().filter(|loaded| *loaded),
            || format!("{url} in the browser"),
        );
    }

    /// Reloads the page and waits until it stands there anew.
    pub(crate) fn reload(&mut self, tab: &Tab) {
        self.evaluate(tab, "window.isOld = true");
        self.call(Some(tab), "Page.reload", &json!({}));
        let script = "document.readyState === 'complete' && !window.isOld";
        await_fact(|| self.evaluate(tab, script).as_bool().filter(|new| *new), || "the reloaded page".into());
    }

    /// Shows the page on another screen.
    pub(crate) fn shows(&mut self, tab: &Tab, screen: Screen) {
        let Screen { width, height, scheme } = screen;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call(Some(tab), "Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call(Some(tab), "Emulation.setEmulatedMedia", &features);
    }

    /// Takes a picture of the whole page, for people: `target/screenshots/NAME.png`.
    pub(crate) fn screenshot(&mut self, tab: &Tab, name: &str) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call(Some(tab), "Page.captureScreenshot", &whole);
        let picture = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Whether a person can read the page on this screen, which it is shown on, without scrolling sideways.
    ///
    /// The window's own width can't tell: that of a phone grows with what is too wide for it.
    pub(crate) fn fits(&mut self, tab: &Tab, screen: Screen) -> bool {
        let fits = format!("document.documentElement.scrollWidth <= {}", screen.width);
        self.evaluate(tab, &fits).as_bool().expect("a page")
    }

    /// Waits until the page shows this.
    pub(crate) fn await_text(&mut self, tab: &Tab, text: &str) {
        await_fact(|| self.text(tab).contains(text).then_some(()), || format!("{text:?} in the browser"));
    }

    /// The text that a person sees.
    pub(crate) fn text(&mut self, tab: &Tab) -> String {
        self.evaluate(tab, "document.body.innerText").as_str().unwrap_or_default().into()
    }

    /// The value of an expression, as if a person had asked for it; null while the page is changing.
    pub(crate) fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "userGesture": true });
        self.call(Some(tab), "Runtime.evaluate", &parameters)["result"]["value"].take()
    }

    /// A cookie in a window's jar, with all that the browser knows of it.
    pub(crate) fn cookie(&mut self, window: &Window, name: &str) -> Option<Value> {
        let jar = self.call(None, "Storage.getCookies", &json!({ "browserContextId": window.0 }));
        jar["cookies"].as_array()?.iter().find(|cookie| cookie["name"] == name).cloned()
    }

    fn attach(&mut self, target: &Value) -> Tab {
        let attached = self.call(None, "Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        Tab { session: attached["sessionId"].as_str().expect("a session").into() }
    }

    /// Calls a method; null when the browser refuses, as it does while a page goes.
    fn call(&mut self, tab: Option<&Tab>, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(tab) = tab {
            message["sessionId"] = json!(tab.session);
        }
        self.devtools.send(&message.to_string()).expect("the browser listens");
        loop {
            let answer = self.devtools.receive().unwrap_or_else(|error| panic!("{method} got no answer: {error}"));
            let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
            // Everything else is an event.
            if answer["id"] == self.calls {
                return answer["result"].take();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Where the browser says its `DevTools` are.
fn devtools(profile: &Path) -> Option<(SocketAddr, String)> {
    let text = fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
    let (port, path) = text.trim_end().split_once('\n')?;
    Some(((Ipv4Addr::LOCALHOST, port.parse().ok()?).into(), path.into()))
}

/// A browser that shows nothing, asks nothing and talks to nobody but us.
const FLAGS: [&str; 13] = [
    "--headless",
    // Headless browsers say so, and are taken for the programs that they mostly are.
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--remote-debugging-port=0",
];
