//! Requests of one delivery, for as long as it may begin any.

use serde_json::Value;

use crate::delivery::destination::Exchange;
use crate::delivery::hold::Leave;
use crate::rapidpro::client::fault::{self, Fault};
use crate::rapidpro::client::{Call, Client, Method, Page};

pub(super) struct Session<'a> {
    pub client: &'a Client,
    pub leave: &'a Leave,
    pub exchanges: &'a mut Vec<Exchange>,
}

impl Session<'_> {
    pub async fn get(&mut self, endpoint: &str, query: &[(&str, &str)]) -> Result<Value, Fault> {
        self.exchange(&Call { method: Method::Get, endpoint, query, body: None }).await
    }

    pub async fn post(&mut self, endpoint: &str, body: &Value) -> Result<Value, Fault> {
        self.exchange(&Call { method: Method::Post, endpoint, query: &[], body: Some(body) }).await
    }

    /// One page of a list; `query` is already encoded.
    pub async fn page(&mut self, endpoint: &str, query: &str) -> Result<Page, Fault> {
        self.in_time()?;
        let (page, exchange) = self.client.page_exchange(endpoint, query).await;
        self.exchanges.push(exchange);
        page
    }

    async fn exchange(&mut self, call: &Call<'_>) -> Result<Value, Fault> {
        self.in_time()?;
        let (result, exchange) = self.client.exchange(call).await;
        self.exchanges.push(exchange);
        result
    }

    fn in_time(&self) -> Result<(), Fault> {
        if self.leave.is_over() { Err(fault::out_of_time()) } else { Ok(()) }
    }
}
