//! Watching a run to its end, over as many connections as it takes.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::contract::run_service_client::RunServiceClient;
use crate::contract::watch_run_request::Start;
use crate::contract::watch_run_response::Control;
use crate::contract::{RunEvent, WatchRunRequest, WatchRunResponse};
use crate::refusal::reason;

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
const MOST_FAILURES: u32 = 20;

/// A watch of one run. Dropping it cancels the call and closes the connection.
pub struct RunWatch {
    endpoint: Endpoint,
    run: String,
    /// Continues exactly after the last message that came. It can be stored, and outlive this program.
    token: String,
    stream: Option<Streaming<WatchRunResponse>>,
    failures: u32,
    /// How long the server, which is about to end the stream, asked to wait.
    asked_delay: Option<Duration>,
    /// How many connections there were so far.
    pub connections: u32,
}

impl RunWatch {
    /// Watches a run from a token on (of `SubmitDeposition`, `GetRun` or an earlier watch); with an empty one from its first event.
    pub fn new(endpoint: Endpoint, run: impl Into<String>, token: impl Into<String>) -> Self {
        let (run, token) = (run.into(), token.into());
        Self { endpoint, run, token, stream: None, failures: 0, asked_delay: None, connections: 0 }
    }

    /// The next events, none twice and none left out; `None` once there is nothing more to come.
    ///
    /// A stream can end in three ways. With OK: there is nothing more to come. With UNAVAILABLE after `closing`, when the server goes or
    /// spreads its watchers: `closing` says how long to wait. In any other way, when something broke. After the last two the token continues.
    pub async fn next(&mut self) -> Result<Option<Vec<RunEvent>>, Status> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => match self.connected().await {
                    Ok(stream) => self.stream.insert(stream),
                    Err(status) => {
                        self.back_off(status).await?;
                        continue;
                    }
                },
            };
            match stream.message().await {
                Ok(Some(message)) => {
                    self.failures = 0;
                    self.token = message.resume_token;
                    // What a newer server has to say that we do not know is `None`, as nothing to say is: go on.
                    if let Some(Control::Closing(closing)) = message.control {
                        self.asked_delay = closing.retry_delay.and_then(|d| Duration::try_from(d).ok());
                    }
                    // Bookmarks have no events: they say that server and connection are alive.
                    if !message.events.is_empty() {
                        return Ok(Some(message.events));
                    }
                }
                Ok(None) => return Ok(None),
                Err(status) => {
                    self.cut();
                    self.back_off(status).await?;
                }
            }
        }
    }

    /// Breaks the connection. `next` makes another and continues.
    pub fn cut(&mut self) {
        // The stream is the last that holds the channel: without it the call is cancelled and the connection closed.
        self.stream = None;
    }

    async fn connected(&mut self) -> Result<Streaming<WatchRunResponse>, Status> {
        let channel: Channel = self.endpoint.connect().await.map_err(|e| Status::unavailable(e.to_string()))?;
        self.connections += 1;
        let request = WatchRunRequest {
            name: self.run.clone(),
            start: (!self.token.is_empty()).then(|| Start::ResumeToken(self.token.clone())),
            ..Default::default()
        };
        // No deadline: a run takes as long as it takes, and bookmarks come meanwhile.
        Ok(RunServiceClient::new(channel).watch_run(request).await?.into_inner())
    }

    /// Waits before the next attempt, as long as the server asked, if it did; gives the status back if another attempt would not help.
    async fn back_off(&mut self, status: Status) -> Result<(), Status> {
        self.failures += 1;
        let passes = match (status.code(), reason(&status)) {
            (Code::Unavailable, _) => true,
            (Code::ResourceExhausted, Some(reason)) => reason == "SLOW_CONSUMER",
            // What the server itself has answered it would answer again.
            (_, Some(_)) => false,
            // A connection that broke is one of these to tonic.
            (code, None) => matches!(code, Code::Unknown | Code::Internal | Code::Cancelled),
        };
        if !passes || self.failures > MOST_FAILURES {
            return Err(status);
        }
        let own_delay = FIRST_DELAY.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST_DELAY);
        tokio::time::sleep(self.asked_delay.take().unwrap_or(own_delay)).await;
        Ok(())
    }
}
