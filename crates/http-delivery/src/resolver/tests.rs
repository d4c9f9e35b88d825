//! Names that hang, fail and change.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use super::{lookup::Answer, *};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

#[actix_web::test]
async fn a_host_is_looked_up_once_for_all_who_ask() {
    let lookups = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&lookups);
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let resolver = BoundedResolver::with_lookup(
        Clock,
        Arc::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            held.lock().unwrap().recv().unwrap();
            Ok(vec![ADDRESS])
        }),
    );
    let abandoned = resolver.resolve("crm.example").now_or_never();
    assert!(abandoned.is_none());
    release.send(()).unwrap();
    let (first, second) = tokio::join!(resolver.resolve("crm.example"), resolver.resolve("crm.example"));
    assert_eq!(first.unwrap().as_ref(), [ADDRESS]);
    assert_eq!(second.unwrap().as_ref(), [ADDRESS]);
    assert_eq!(lookups.load(Ordering::SeqCst), 1);
}

#[actix_web::test]
async fn failures_and_empty_answers_are_errors() {
    let resolver = BoundedResolver::with_lookup(
        Clock,
        Arc::new(|host| {
            if host == "empty" {
                Ok(vec![])
            } else {
                Err(io::Error::other("no such host"))
            }
        }),
    );
    assert_eq!(resolver.resolve("empty").await, Err(ResolveError::NoAddresses));
    assert_eq!(
        resolver.resolve("gone").await,
        Err(ResolveError::Failed("no such host".to_owned()))
    );
}

#[actix_web::test]
async fn a_lookup_that_panics_is_a_failure() {
    let resolver = BoundedResolver::with_lookup(Clock, Arc::new(|_| panic!("on purpose")));
    assert!(matches!(
        resolver.resolve("crm.example").await,
        Err(ResolveError::Failed(_))
    ));
}

#[actix_web::test]
async fn the_cache_stays_bounded() {
    let resolver = BoundedResolver::with_lookup(Clock, Arc::new(|_| Ok(vec![ADDRESS])));
    for number in 0..2 * MAX_CACHED_HOSTS {
        drop(resolver.entry(&format!("host-{number}")));
    }
    assert!(resolver.hosts.len() <= MAX_CACHED_HOSTS);
}

/// Hangs for names that begin with `hang`, until the sender is dropped.
fn partly_hanging() -> (BoundedResolver, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let resolver = BoundedResolver::with_lookup(
        Clock,
        Arc::new(move |host| {
            if host.starts_with("hang") {
                let _ = held.lock().unwrap().recv();
                return Err(io::Error::other("no answer"));
            }
            Ok(vec![ADDRESS])
        }),
    );
    (resolver, release)
}

/// A name that is old by now, with this answer to its last look-up.
fn remember(resolver: &BoundedResolver, host: &str, answer: Answer, age: Duration) {
    let fresh_until = Clock.instant().checked_sub(age).unwrap();
    let pending: Pending = futures_util::future::ready(Resolved { answer, fresh_until })
        .boxed()
        .shared();
    // Only what was looked at is known to have ended.
    assert!(pending.clone().now_or_never().is_some());
    resolver.hosts.insert(
        host.into(),
        Host {
            pending,
            former: None,
        },
    );
}

#[actix_web::test]
async fn names_that_hang_leave_threads_for_names_that_work() {
    let (resolver, release) = partly_hanging();
    remember(&resolver, "known", Ok([ADDRESS].into()), Duration::from_secs(1));
    for number in 0..100 {
        let host = format!("hang-{number}");
        let failed = Err(ResolveError::NoAddresses);
        remember(&resolver, &host, failed, Duration::from_secs(1));
        assert!(resolver.resolve(&host).now_or_never().is_none());
    }
    // Neither a name that was found before nor a new one waits for those.
    assert_eq!(resolver.resolve("known").await.unwrap().as_ref(), [ADDRESS]);
    assert_eq!(resolver.resolve("new").await.unwrap().as_ref(), [ADDRESS]);
    drop(release);
}

#[actix_web::test]
async fn former_addresses_will_do_while_the_name_server_hangs() {
    let (resolver, release) = partly_hanging();
    remember(&resolver, "hang", Ok([ADDRESS].into()), Duration::from_secs(60));
    assert_eq!(resolver.resolve("hang").await.unwrap().as_ref(), [ADDRESS]);
    // What the look-up says in the end holds.
    drop(release);
    let ended = resolver.entry("hang").0.await;
    assert!(ended.answer.is_err());
    assert!(resolver.resolve("hang").await.is_err());
}

#[actix_web::test]
async fn addresses_that_are_too_old_are_not_used() {
    let (resolver, release) = partly_hanging();
    remember(&resolver, "hang", Ok([ADDRESS].into()), Duration::from_secs(301));
    assert!(resolver.entry("hang").1.is_none());
    drop(release);
}

#[actix_web::test]
async fn abandoned_look_ups_hold_up_no_others() {
    let (resolver, release) = partly_hanging();
    for number in 0..100 {
        let waiting = resolver.resolve(&format!("hang-{number}")).now_or_never();
        assert!(waiting.is_none());
    }
    let new = resolver.resolve("new");
    drop(release);
    assert_eq!(new.await.unwrap().as_ref(), [ADDRESS]);
}
