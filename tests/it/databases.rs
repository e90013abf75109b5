//! Databases on other machines: their certificates are verified, and their passwords may change.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::{Database, Stack, StackOptions, children, connect, eventually, folder, run_to_end};
use nix::unistd::geteuid;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use uuid::Uuid;

use crate::people::{Client, Frame, Pair, User, pair};
use crate::stand_ins::secrets::SecretsManager;

/// A certificate authority, and the certificate of a server called `localhost`.
fn certificates(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server =
        CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let key = write("server.key", key.serialize_pem());
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    if geteuid().is_root() {
        let server = nix::unistd::User::from_name("nobody").unwrap().expect("whom Postgres runs as");
        chown(&key, Some(server.uid.as_raw()), Some(server.gid.as_raw())).unwrap();
    }
    (write("authority.pem", authority.pem()), write("server.pem", server.pem()), key)
}

#[tokio::test]
async fn what_is_not_on_this_machine_is_encrypted_and_verified() {
    let folder = folder();
    let (authority, certificate, key) = certificates(folder.path());
    let settings = ["ssl=on".to_owned()].into_iter().chain(
        [("ssl_cert_file", &certificate), ("ssl_key_file", &key)]
            .map(|(name, path)| format!("{name}={}", path.display())),
    );
    let args: Vec<_> = settings.flat_map(|setting| ["--postgres-setting".to_owned(), setting]).collect();
    let args: Vec<_> = ["--ephemeral"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let server = Stack::start(&StackOptions { args: &args, ..StackOptions::default() });
    let admin = connect(server.postgres_url()).await;
    admin.batch_execute("create database chat").await.unwrap();
    let url = server.postgres_url().replace("127.0.0.1", "localhost").replace("/postgres", "/chat")
        + "?sslmode=verify-full&sslrootcert=";
    let trusted = format!("{url}{}", authority.display());

    let options = StackOptions { database_url: Some(&trusted), ..StackOptions::default() };
    let stack = Arc::new(Stack::start(&options));
    let Pair { alice_phone: mut phone, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;
    let sent = phone.says(&conversation, "nobody listens").await;
    assert_eq!(bob_phone.receives_message().await, sent);
    let connections = "select count(*), count(*) filter (where ssl)
        from pg_stat_ssl join pg_stat_activity using (pid) where datname = 'chat'";
    let row = admin.query_one(connections, &[]).await.unwrap();
    let (all, encrypted): (i64, i64) = (row.get(0), row.get(1));
    assert!(all > 0 && all == encrypted, "{encrypted} of {all} connections are encrypted");

    let refused = |url: &str| {
        let output = run_to_end(&["--port", "0", "--database-url", url]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let stranger = refused(&url.replace("&sslrootcert=", ""));
    assert!(stranger.contains("migrate failed") && stranger.contains("UnknownIssuer"), "{stranger}");
    let other_name = refused(&trusted.replace("localhost", "127.0.0.1"));
    assert!(
        other_name.contains("migrate failed")
            && other_name.contains("certificate not valid for name \\\"127.0.0.1\\\""),
        "{other_name}"
    );
    let no_file = refused(&format!("{url}/nowhere/roots.pem"));
    assert!(no_file.contains("sslrootcert /nowhere/roots.pem"), "{no_file}");
}

// The stand-in has to answer while the stack starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_changed_while_the_functions_run() {
    let secrets = SecretsManager::start().await;
    let database = Database::create().await;
    let admin = connect(&database.url).await;
    let role = format!("role_{}", Uuid::new_v4().simple());
    admin
        .batch_execute(&format!(
            "create role {role} login password 'first'; grant create on schema public to {role}"
        ))
        .await
        .unwrap();
    let (_, address) = database.url.split_once('@').unwrap();
    let url = |password: &str| format!("postgres://{role}:{password}@{address}");
    let arn = secrets.keeps("database", &url("first"));
    let env = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url.as_str())];
    let options = StackOptions { env: &env, database_url: Some(&arn), ..StackOptions::default() };
    let stack = Arc::new(Stack::start(&options));
    let Pair { alice_phone: mut phone, bob_phone: _bob_phone, conversation, .. } = pair(&stack).await;
    phone.says(&conversation, "with the first").await;
    let processes = children(stack.pid);

    admin
        .batch_execute(&format!(
            "alter role {role} password 'second';
             select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
        ))
        .await
        .unwrap();
    let send =
        json!({ "action": "send_message", "conversationId": conversation, "content": "with the second" });
    phone.is_refused(send.clone()).await;
    secrets.keeps("database", &url("second"));
    let phone = tokio::sync::Mutex::new(phone);
    eventually("the second password is found", async || {
        let phone = &mut *phone.lock().await;
        let id = phone.sends(send.clone()).await;
        matches!(phone.is_answered(&id).await, Frame::Event(_))
    })
    .await;
    for process in processes {
        assert!(children(stack.pid).contains(&process), "{process:?} had to end for it");
    }
}

#[tokio::test]
async fn the_token_secret_is_changed_while_the_functions_run() {
    let secrets = SecretsManager::start().await;
    let sign = |secret: &str, user: &User| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &user.claims(), &key).unwrap()
    };
    let arn = secrets.keeps("tokens", "the first secret, of 32 bytes and more");
    let (stack, _database) =
        Stack::own_with(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets.url), ("JWT_SECRET", &arn)]).await;
    let alice = User::of(&stack, "Alice");
    let (first, second) = (
        sign("the first secret, of 32 bytes and more", &alice),
        sign("the second secret, of 32 bytes and more", &alice),
    );
    Client::connect(&stack, &first).await.expect("it is signed with the first").closes().await;
    assert_eq!(Client::connect(&stack, &second).await.expect_err("nobody knows of it"), 401);

    secrets.keeps("tokens", "the second secret, of 32 bytes and more");
    eventually("the second secret is found", async || Client::connect(&stack, &second).await.is_ok()).await;
    assert_eq!(Client::connect(&stack, &first).await.expect_err("that was before"), 401);
    assert!(!stack.log().contains("of 32 bytes and more"), "secrets are in no log");
}
