//! Works as another account than the one that the process was started with: exchanges its token for one of that
//! account, and keeps that one fresh for as long as the process lives.
//!
//! ```text
//!   own token (a file that is read anew) ──► TokenRequest ──► token in memory ──► every request of the client
//!                                                 ▲                                  │ 401
//!                                                 └─── at 80 % of its life, or ◄─────┘
//! ```
//!
//! The token that was obtained is never written anywhere. A request that it was refused for fails, and whoever asked
//! tries again, by then with the next one.

use std::time::Duration;

use kube::{Client, Config, client::ClientBuilder, config::AuthInfo};
use tokio::{sync::watch, time};
use tower::layer::layer_fn;
use tracing::{info, warn};

pub use exchange::Account;
use exchange::{Exchange, Granted};
use token::Token;

use super::{metrics::RequestMetrics, request};

mod exchange;
#[cfg(test)]
mod tests;
mod token;

/// The least time between two exchanges, whatever became of the first.
const PAUSE: Duration = Duration::from_secs(5);

/// A client that works as `account`, with the rights that `config` has to get its tokens. Waits until there is a first
/// one; `trouble` says meanwhile, and whenever there is none again, what it waits for.
pub async fn client(
    mut config: Config,
    account: Account,
    metrics: &RequestMetrics,
    trouble: watch::Sender<Option<String>>,
) -> kube::Result<Client> {
    let exchange = Exchange {
        client: request::client(config.clone(), metrics)?,
        account,
    };
    config.auth_info = AuthInfo::default();
    let builder = ClientBuilder::try_from(request::limited(config))?;
    let counted = layer_fn(|service| metrics.count(service));
    let build = |token: &Token| builder.with_layer(token).with_layer(&counted).build();
    Ok(begin(exchange, build, trouble).await)
}

async fn begin(
    exchange: Exchange,
    build: impl FnOnce(&Token) -> Client,
    trouble: watch::Sender<Option<String>>,
) -> Client {
    let mut keeper = Keeper {
        exchange,
        trouble,
        said: None,
    };
    let first = keeper.obtain(None).await;
    let token = Token::new(first.header.clone());
    let client = build(&token);
    tokio::spawn(keeper.keep(token, first));
    client
}

/// Who sees to it that there is a token.
struct Keeper {
    exchange: Exchange,
    trouble: watch::Sender<Option<String>>,
    /// What was logged last, so that it is logged once.
    said: Option<String>,
}

impl Keeper {
    /// Keeps the token fresh for as long as the process lives.
    async fn keep(mut self, token: Token, mut granted: Granted) {
        loop {
            // Even one that is refused at once is not asked for anew at once.
            time::sleep(PAUSE).await;
            tokio::select! {
                () = time::sleep_until(granted.renew_at) => {}
                () = token.refused() => {
                    warn!("the API server refuses the token: another one is asked for");
                }
            }
            granted = self.obtain(Some((&token, granted.ends_at))).await;
            token.replace(granted.header.clone());
        }
    }

    /// Asks until there is a token. The old one, if any, is as good as ever until it is refused or ends.
    async fn obtain(&mut self, old: Option<(&Token, time::Instant)>) -> Granted {
        loop {
            match self.exchange.ask().await {
                Ok(granted) => {
                    self.is_well();
                    return granted;
                }
                Err(why) => {
                    let works = |(token, ends_at): (&Token, time::Instant)| {
                        !token.is_refused() && time::Instant::now() < ends_at
                    };
                    self.complain(why, old.is_some_and(works));
                }
            }
            time::sleep(PAUSE).await;
        }
    }

    fn is_well(&mut self) {
        if self.said.take().is_some() {
            info!("there is a token now");
        }
        self.trouble.send_replace(None);
    }

    fn complain(&mut self, why: String, can_work: bool) {
        if self.said.as_ref() != Some(&why) {
            warn!("{why}");
            self.said = Some(why.clone());
        }
        if !can_work {
            self.trouble.send_replace(Some(why));
        }
    }
}
