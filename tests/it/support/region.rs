//! An emulated region of a test's own: a process on 127.0.0.1 that ends with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use windlass::aws::Clients;

/// What the region is told of a machine image of windlass's, as its image build tags it.
pub(crate) fn machine_image(kubernetes: &str) -> Value {
    json!({
        "name": format!("windlass-{kubernetes}-debian-13-amd64-1"),
        "architecture": "x86_64",
        "tags": {
            "windlass.dev/kubernetes-version": kubernetes,
            "windlass.dev/etcd-version": windlass::spec::versions::default_etcd(),
            "windlass.dev/architecture": "amd64",
        },
    })
}

/// An emulated region.
pub(crate) struct Region {
    process: Child,
    name: &'static str,
    /// `http://127.0.0.1:<port>`.
    pub(crate) url: String,
}

impl Region {
    /// Starts one, `us-east-1`, and waits until it listens.
    pub(crate) fn start() -> Self {
        Self::start_as("us-east-1")
    }

    /// Starts one of another name.
    pub(crate) fn start_as(name: &'static str) -> Self {
        let localcloud = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/localcloud");
        let made =
            Command::new(localcloud.join("region/environment")).stderr(Stdio::inherit()).output().unwrap();
        assert!(made.status.success(), "the region's Python environment can't be made");
        let environment = String::from_utf8(made.stdout).unwrap();
        let mut process = Command::new(format!("{}/bin/python", environment.trim()))
            .args(["-m", "region", "--port", "0", "--region", name])
            .env("PYTHONPATH", &localcloud)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address =
            lines.by_ref().find_map(|line| Some(line.ok()?.strip_prefix("listening on ")?.to_owned()));
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        let url = address.expect("the region ended instead of listening").trim().to_owned();
        Self { process, name, url }
    }

    /// What a process needs in its environment to use this region instead of AWS.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_REGION", self.name),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "example"),
            ("AWS_CONFIG_FILE", "/dev/null"),
        ]
    }

    /// Registers a machine image of windlass's, for a version of Kubernetes.
    pub(crate) fn register_image(&self, kubernetes: &str) {
        let answer = self.control("images", &machine_image(kubernetes));
        assert!(answer.contains("ami-"), "{answer}");
    }

    /// Makes every answer of a service late.
    pub(crate) fn delay(&self, service: &str, milliseconds: u32) {
        self.control("faults", &json!([{"service": service, "latencyMs": milliseconds, "times": null}]));
    }

    /// Asks the control API, such as `GET journal`; returns the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.send(method, path, body);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Posts to the control API; returns the answer.
    fn control(&self, path: &str, body: &Value) -> String {
        self.send("POST", path, body)
    }

    /// Calls a service of AWS's that takes forms; returns the answer.
    pub(crate) fn call(&self, service: &str, form: &str) -> String {
        let scope = format!("Credential=operator/20260101/us-east-1/{service}/aws4_request");
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 {scope}\r\n"
        );
        self.request("POST", "/", &headers, form)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> String {
        self.request(method, &format!("/_region/{path}"), "", &body.to_string())
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        let headers = format!("{headers}Host: {address}\r\nConnection: close\r\nContent-Length: {length}");
        write!(stream, "{method} {path} HTTP/1.1\r\n{headers}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Clients of this region.
    pub(crate) async fn clients(&self) -> Clients {
        Clients::for_endpoint(self.name, &self.url).await
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
