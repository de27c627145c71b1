//! A person at a shell: one call over HTTP, one answer or one error.

use std::collections::BTreeSet;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Transaction, Txid};
use earnest::sandbox::{ChainControl, Endpoint};
use serde_json::{Value, json};

/// What `bitcoin-cli` is: one call, one answer or one error code with a sentence.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(crate) http: reqwest::Client,
    pub(crate) at: Endpoint,
}

impl Shell {
    pub(crate) fn new(control: &ChainControl) -> Self {
        Self { http: reqwest::Client::new(), at: control.endpoint().clone() }
    }

    pub(crate) async fn raw(
        &self,
        password: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, String) {
        let url = format!("http://{}:{}/", self.at.host, self.at.port);
        let request = self.http.post(url).basic_auth(&self.at.user, Some(password)).body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, (i64, String)> {
        let body = json!({"method": method, "params": params, "id": 7}).to_string();
        let (_, text) = self.raw(&self.at.password, body).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["id"], 7);
        match &value["error"] {
            Value::Null => Ok(value["result"].clone()),
            e => Err((e["code"].as_i64().unwrap(), e["message"].as_str().unwrap().to_owned())),
        }
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap_or_else(|e| panic!("{method}: {e:?}"))
    }

    pub(crate) async fn send(&self, tx: &Transaction) -> Result<Value, (i64, String)> {
        self.call("sendrawtransaction", json!([serialize_hex(tx)])).await
    }

    /// The transaction is refused with this code, for this reason.
    pub(crate) async fn refuses(&self, tx: &Transaction, code: i64, reason: &str) {
        let (got, message) = self.send(tx).await.expect_err(reason);
        assert!(got == code && message.contains(reason), "{got} {message}, not {code} {reason}");
    }

    pub(crate) async fn waiting(&self) -> BTreeSet<Txid> {
        serde_json::from_value(self.ask("getrawmempool", json!([])).await).unwrap()
    }
}
