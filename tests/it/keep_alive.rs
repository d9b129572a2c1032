//! A connection that an early answer leaves behind: it takes the next request, or says that it ends.

use mjumbe::store::testing::each_store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::TestServer;

/// Sends a request in two parts, so that the answer may be there before the body.
async fn send(stream: &mut TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    stream.write_all(body).await
}

/// The head of one answer; its body is passed over.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(text).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    head
}

#[tokio::test]
async fn an_answer_before_the_body_leaves_the_connection_usable() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let address = server.url.replace("http://", "");
        let body = vec![b' '; 300_000];
        let post = |path: &str, token: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/fhir+json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            )
        };
        let early = [
            (post("/fhir/Patient", "wrong"), "401"),
            (post("/fhir/Nonsense", &server.token), "404"),
            (post("/fhir/Patient/1", &server.token), "405"),
        ];
        let mut stream = TcpStream::connect(&address).await.unwrap();
        for (head, status) in early {
            send(&mut stream, &head, &body).await.unwrap();
            let answer = answer(&mut stream).await;
            assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
            assert!(!answer.contains("connection: close"), "{answer}");
        }
        server.stop().await;
    })
    .await;
}

/// Its body will never come: nobody waits for it.
#[tokio::test]
async fn who_waits_to_be_told_to_go_on_is_told_that_the_connection_ends() {
    each_store(|store| async move {
        let server = TestServer::start(store).await;
        let mut stream = TcpStream::connect(server.url.replace("http://", "")).await.unwrap();
        let head =
            "POST /fhir/Patient HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 401") && answer.contains("connection: close"), "{answer}");
        server.stop().await;
    })
    .await;
}
