//! Counts every request to the API server, whoever makes it: a layer of the client, below everything that writes,
//! reads or watches.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tower::Service;

use super::{Latencies, Latency, Registry};

/// What is done with the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct By {
    /// The HTTP method, or `watch`.
    verb: &'static str,
}

/// What is done with the API server, and what it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// The HTTP method, or `watch`.
    verb: &'static str,
    /// The HTTP status, or `none`.
    code: String,
}

/// What is counted of requests to the API server.
#[derive(Clone)]
pub struct RequestMetrics {
    duration: Latencies<By>,
    answers: Family<Answered, Counter>,
}

impl RequestMetrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            duration: Family::new_with_constructor(Latency),
            answers: Family::default(),
        };
        registry.register(
            "api_request_duration_seconds",
            "Time until the API server began to answer, or until nobody waited any more; of a watch, until it stood",
            &metrics.duration,
        );
        registry.register(
            "api_requests",
            "Requests to the API server by the status of the answer; none: there was no answer in time",
            &metrics.answers,
        );
        metrics
    }

    /// A client's service that counts.
    pub fn count<S>(&self, service: S) -> Counted<S> {
        Counted {
            service,
            metrics: self.clone(),
        }
    }

    fn begin(&self, method: &Method, query: Option<&str>) -> Asked {
        Asked {
            metrics: self.clone(),
            verb: verb(method, query),
            began: Instant::now(),
            code: None,
        }
    }
}

/// A client's service that counts what goes through it.
#[derive(Clone)]
pub struct Counted<S> {
    service: S,
    metrics: RequestMetrics,
}

impl<S, B, A> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut asked = self.metrics.begin(request.method(), request.uri().query());
        let answer = self.service.call(request);
        async move {
            let result = answer.await;
            if let Ok(response) = &result {
                asked.answered(response.status());
            }
            result
        }
        .boxed()
    }
}

/// A request under way. It is counted when it is dropped: whoever gives up on one drops it.
struct Asked {
    metrics: RequestMetrics,
    verb: &'static str,
    began: Instant,
    code: Option<u16>,
}

impl Asked {
    // Taken as a whole: a block that only sets the field would hold a copy of that, and count too early.
    fn answered(&mut self, status: StatusCode) {
        self.code = Some(status.as_u16());
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let verb = self.verb;
        let RequestMetrics { duration, answers } = &self.metrics;
        let took = self.began.elapsed().as_secs_f64();
        duration.get_or_create(&By { verb }).observe(took);
        let code = self
            .code
            .map_or_else(|| "none".to_owned(), |code| code.to_string());
        answers.get_or_create(&Answered { verb, code }).inc();
    }
}

fn verb(method: &Method, query: Option<&str>) -> &'static str {
    let mut parameters = query.unwrap_or_default().split('&');
    match *method {
        Method::GET if parameters.any(|one| one == "watch=true") => "watch",
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use tokio::time;

    use super::*;
    use crate::cluster::metrics;

    #[tokio::test(start_paused = true)]
    async fn every_request_is_counted_once_however_it_ends() {
        let mut registry = metrics::registry();
        let requests = RequestMetrics::new(&mut registry);
        let mut service = requests.count(tower::service_fn(async |request: Request<()>| {
            if request.uri().path() == "/silent" {
                std::future::pending::<()>().await;
            }
            let status = if request.uri().path() == "/there" {
                200
            } else {
                404
            };
            Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap())
        }));
        for (method, uri) in [
            ("GET", "/there"),
            ("GET", "/there?watch=true&labelSelector=a"),
            ("GET", "/gone"),
            ("PATCH", "/silent"),
        ] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let answer = service.call(request);
            // Whoever waits gives up on what is silent.
            let _ = time::timeout(Duration::from_secs(1), answer).await;
        }
        let page = registry.encode().unwrap();
        for sample in [
            "kilonova_api_requests_total{verb=\"get\",code=\"200\"} 1\n",
            "kilonova_api_requests_total{verb=\"get\",code=\"404\"} 1\n",
            "kilonova_api_requests_total{verb=\"watch\",code=\"200\"} 1\n",
            "kilonova_api_requests_total{verb=\"patch\",code=\"none\"} 1\n",
            "kilonova_api_request_duration_seconds_count{verb=\"get\"} 2\n",
            "kilonova_api_request_duration_seconds_count{verb=\"patch\"} 1\n",
        ] {
            assert!(page.contains(sample), "no {sample} in {page}");
        }
    }
}
