//! The name of Redis leads to another server, which knows nothing.

use std::net::SocketAddr;

use serde_json::json;
use service::tasks::Tasks;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    parts::{Load, Part, Redis, redis_at, submit, until_ready},
    store::Store,
};

/// A name that can be made to lead elsewhere: new connections go there, open ones stay.
struct Name {
    address: SocketAddr,
    target: watch::Sender<String>,
}

impl Name {
    async fn of(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (target, leads_to) = watch::channel(redis.address());
        Tasks::new().spawn_detached(forward(listener, leads_to));
        Self { address, target }
    }

    fn lead_to(&self, redis: &Redis) {
        self.target.send_replace(redis.address());
    }
}

async fn forward(listener: TcpListener, mut target: watch::Receiver<String>) {
    let connections = Tasks::new();
    loop {
        let mut client = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            // The test is over.
            () = async { while target.changed().await.is_ok() {} } => return,
        };
        let server = target.borrow().clone();
        connections.spawn_detached(async move {
            let Ok(mut server) = TcpStream::connect(&server).await else { return };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_and_doubles_nothing() {
    let store = Store::new().await;
    let (mut old, new) = (Redis::start(), Redis::start());
    let name = Name::of(&old).await;
    let dispatch = || redis_at(&name.address.to_string());
    let api = Part::api(&store, dispatch()).await;
    let worker = Part::worker(&store, dispatch()).await;
    let load = Load::of(6000);
    let late = async {
        load.until(0.3).await;
        name.lead_to(&new);
        // Some are at the old server and some at the new one: these two do not hear of each other.
        let (other_api, other_worker) = tokio::join!(Part::api(&store, dispatch()), Part::worker(&store, dispatch()));
        submit(&other_api.url, "", &json!(1)).await;
        load.until(0.5).await;
        old.ask::<()>(&format!("REPLICAOF {}", new.address().replace(':', " "))).await;
        load.until(0.7).await;
        old.kill();
        (other_api, other_worker)
    };
    let apis = [&api.url].map(String::as_str);
    let ((), (other_api, other_worker)) = tokio::join!(load.run(&apis), late);
    store.until_all_done_once(load.tasks + 1).await;
    for part in [api, worker, other_api, other_worker] {
        until_ready(&part.url).await;
        part.stop().await;
    }
}
