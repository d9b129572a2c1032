//! Counters, gauges and histograms, as Prometheus text.
//!
//! Rooms count with the `metrics` macros, by names that begin with `mjumbe_`; labels are words of a small
//! fixed set (a route's template, a destination's name), never ids.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// One recorder a process.
static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Seconds: from a point read on SQLite to a large transaction.
const LATENCY_S: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

/// Starts to count; does nothing the second time.
pub fn init() {
    HANDLE.get_or_init(|| {
        let matcher = Matcher::Suffix("_seconds".to_owned());
        let installed = PrometheusBuilder::new()
            .set_buckets_for_metric(matcher, &LATENCY_S)
            .and_then(PrometheusBuilder::install_recorder);
        match installed {
            Ok(handle) => {
                describe();
                Some(handle)
            }
            Err(error) => {
                tracing::warn!(%error, "metrics are not counted");
                None
            }
        }
    });
}

/// All metrics in Prometheus' text format; `None` before [`init`].
pub fn render() -> Option<String> {
    HANDLE.get()?.as_ref().map(PrometheusHandle::render)
}

/// Frees the memory of histograms' raw samples; to be called every few seconds.
pub fn upkeep() {
    if let Some(Some(handle)) = HANDLE.get() {
        handle.run_upkeep();
    }
}

fn describe() {
    metrics::describe_counter!("mjumbe_http_requests_total", "Requests, by route, method and status");
    metrics::describe_histogram!("mjumbe_http_request_duration_seconds", "From request to answer, by route");
    metrics::describe_gauge!("mjumbe_http_requests_in_flight", "Requests under way");
    metrics::describe_counter!("mjumbe_task_restarts_total", "Workers that failed and were started again");
    metrics::describe_counter!(
        "mjumbe_rapidpro_webhooks_total",
        "Webhooks that RapidPro sent and that were accepted, by workspace"
    );
    metrics::describe_counter!(
        "mjumbe_lenient_repairs_total",
        "What clients with a profile sent and was not R4, by profile and code"
    );
    metrics::describe_counter!("mjumbe_parts_sent_total", "Parts that a destination answered for, by result");
    metrics::describe_gauge!(
        "mjumbe_deliveries",
        "Deliveries that wait or are dead, by destination and cause"
    );
    metrics::describe_gauge!("mjumbe_deliveries_oldest_seconds", "Since when the oldest of them is so");
    metrics::describe_gauge!("mjumbe_evaluations_held", "Evaluations that wait for something");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        init();
        metrics::counter!("mjumbe_test_total", "kind" => "a").increment(2);
        assert!(render().unwrap().contains("mjumbe_test_total{kind=\"a\"} 2"));
    }

    #[test]
    fn what_is_described_is_rendered_with_its_words() {
        init();
        metrics::counter!("mjumbe_rapidpro_webhooks_total", "destination" => "a").increment(1);
        assert!(render().unwrap().contains("# HELP mjumbe_rapidpro_webhooks_total Webhooks"));
    }
}
