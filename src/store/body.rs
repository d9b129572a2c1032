//! Bodies as they are stored: a codec number beside the bytes.
//!
//! 0 is raw, 1 is zstd; 2 and up are kept for bodies encrypted with a numbered key.

use super::error::Error;

const RAW: i64 = 0;
const ZSTD: i64 = 1;
/// Shorter bodies gain nothing from compression.
const COMPRESSED_FROM: usize = 1024;
/// zstd's own default: most of the gain at a fraction of the time.
const LEVEL: i32 = 3;

/// The codec and the bytes to store.
pub(super) fn encode(body: &str) -> (i64, Vec<u8>) {
    if body.len() > COMPRESSED_FROM
        && let Ok(compressed) = zstd::bulk::compress(body.as_bytes(), LEVEL)
        && compressed.len() < body.len()
    {
        return (ZSTD, compressed);
    }
    (RAW, body.as_bytes().to_vec())
}

/// The body as it was given.
pub(super) fn decode(codec: i64, bytes: Vec<u8>) -> Result<String, Error> {
    let unreadable = || Error::Body { codec };
    let plain = match codec {
        RAW => bytes,
        ZSTD => zstd::stream::decode_all(bytes.as_slice()).map_err(|_| unreadable())?,
        _ => return Err(unreadable()),
    };
    String::from_utf8(plain).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back() {
        for body in ["{}".to_owned(), "{\"a\":\"é\"}".repeat(1000)] {
            let (codec, bytes) = encode(&body);
            assert_eq!(codec, i64::from(body.len() > COMPRESSED_FROM));
            assert_eq!(decode(codec, bytes).unwrap(), body);
        }
        assert_eq!(decode(2, vec![]), Err(Error::Body { codec: 2 }));
        assert_eq!(decode(ZSTD, vec![1, 2, 3]), Err(Error::Body { codec: 1 }));
    }
}
