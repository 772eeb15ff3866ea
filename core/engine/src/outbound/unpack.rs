//! Decompression of bodies that a server, or a proxy in front of it, has compressed (RFC 9110, section 8.4).

use std::io::{self, Write};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap};
use trunnion_proto::client::TransportFailure;

/// The accepted encodings.
pub(crate) const ACCEPTED: &str = "gzip, deflate, br, zstd";
/// Maximum number of encodings of one body; more of them are a means to expand little data to a lot.
const MAX_ENCODINGS: usize = 2;
/// Maximum window of zstd in the decompressed data, as a power of two: 8 MiB (RFC 8878, section 3.1.1.1.2).
const ZSTD_WINDOW: u32 = 23;
const BUFFER: usize = 16 << 10;

/// A decoder that decompresses a body piece by piece.
pub(crate) struct Unpacker(Vec<Decoder>);

enum Decoder {
    Gzip(flate2::write::MultiGzDecoder<Bounded>),
    /// Undetermined whether there is a zlib header around it: servers differ in their use of "deflate".
    Deflate(Bounded),
    Zlib(flate2::write::ZlibDecoder<Bounded>),
    Raw(flate2::write::DeflateDecoder<Bounded>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Bounded>>),
    Zstd(zstd::stream::write::Decoder<'static, Bounded>),
}

/// The output of one piece, up to its limit.
struct Bounded {
    out: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Unpacker {
    /// Returns a decoder for a body with these headers; `None` if it is not compressed. No piece may exceed
    /// `limit` bytes when it is decompressed.
    pub(crate) fn of(headers: &HeaderMap, limit: usize) -> Result<Option<Unpacker>, String> {
        let mut decoders = Vec::new();
        let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for name in values.flat_map(|value| value.split(',')) {
            let bounded = Bounded { out: Vec::new(), limit };
            let decoder = match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Decoder::Gzip(flate2::write::MultiGzDecoder::new(bounded)),
                "deflate" => Decoder::Deflate(bounded),
                "br" => {
                    Decoder::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(bounded, BUFFER)))
                }
                "zstd" => {
                    let mut decoder =
                        zstd::stream::write::Decoder::new(bounded).map_err(|error| error.to_string())?;
                    decoder.window_log_max(ZSTD_WINDOW).map_err(|error| error.to_string())?;
                    Decoder::Zstd(decoder)
                }
                other => return Err(format!("the response has the unknown Content-Encoding {other:?}")),
            };
            decoders.push(decoder);
        }
        if decoders.len() > MAX_ENCODINGS {
            return Err(format!("the response is encoded more than {MAX_ENCODINGS} times over"));
        }
        // The encoding that was applied last is decoded first.
        decoders.reverse();
        Ok((!decoders.is_empty()).then_some(Unpacker(decoders)))
    }

    /// Returns the decompressed piece; empty if more input is needed.
    pub(crate) fn feed(&mut self, piece: Bytes) -> Result<Bytes, TransportFailure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::FileTooLarge => TransportFailure::Limit(
                "the response exceeds the limit when it is unpacked (maxMessageBytes)".into(),
            ),
            _ => TransportFailure::Connection(format!("the response cannot be unpacked: {error}")),
        };
        let mut piece = piece;
        for decoder in &mut self.0 {
            piece = decoder.feed(&piece).map_err(failed)?.into();
        }
        Ok(piece)
    }
}

impl Decoder {
    fn feed(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        if let Decoder::Deflate(bounded) = self {
            let Some(&first) = piece.first() else { return Ok(Vec::new()) };
            let bounded = Bounded { out: Vec::new(), limit: bounded.limit };
            // RFC 1950: compression method 8. In a raw stream (RFC 1951) it would be a reserved kind of
            // block, or a stored one whose padding is not zero.
            *self = match first & 0x0f {
                8 => Decoder::Zlib(flate2::write::ZlibDecoder::new(bounded)),
                _ => Decoder::Raw(flate2::write::DeflateDecoder::new(bounded)),
            };
        }
        fn through<W: Write>(mut writer: W, piece: &[u8]) -> io::Result<()> {
            writer.write_all(piece)?;
            writer.flush()
        }
        let out = match self {
            Decoder::Gzip(decoder) => {
                through(&mut *decoder, piece)?;
                &mut decoder.get_mut().out
            }
            Decoder::Zlib(decoder) => {
                through(&mut *decoder, piece)?;
                &mut decoder.get_mut().out
            }
            Decoder::Raw(decoder) => {
                through(&mut *decoder, piece)?;
                &mut decoder.get_mut().out
            }
            Decoder::Brotli(decoder) => {
                through(&mut *decoder, piece)?;
                &mut decoder.get_mut().out
            }
            Decoder::Zstd(decoder) => {
                through(&mut *decoder, piece)?;
                &mut decoder.get_mut().out
            }
            Decoder::Deflate(bounded) => &mut bounded.out,
        };
        Ok(std::mem::take(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;

    const TEXT: &[u8] = br#"{"jsonrpc":"2.0","id":2,"result":{}}"#;
    /// The same, as Node's `brotliCompressSync` writes it.
    const BROTLI: &[u8] = &[
        139, 17, 128, 123, 34, 106, 115, 111, 110, 114, 112, 99, 34, 58, 34, 50, 46, 48, 34, 44, 34, 105,
        100, 34, 58, 50, 44, 34, 114, 101, 115, 117, 108, 116, 34, 58, 123, 125, 125, 3,
    ];

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn unpacker(encoding: &str, limit: usize) -> Result<Option<Unpacker>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, encoding.parse().expect("a value"));
        Unpacker::of(&headers, limit)
    }

    fn unpacked(encoding: &str, packed: &[u8], size: usize) -> Vec<u8> {
        let mut unpacker = unpacker(encoding, 1 << 20).expect("known").expect("packed");
        let feed = |piece: &[u8]| unpacker.feed(Bytes::copy_from_slice(piece)).expect("fits").to_vec();
        packed.chunks(size).flat_map(feed).collect()
    }

    #[test]
    fn every_encoding_is_unpacked_however_it_is_cut() {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(TEXT).expect("memory");
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(TEXT).expect("memory");
        let zstd = zstd::encode_all(TEXT, 3).expect("memory");
        let (zlib, raw) = (zlib.finish().expect("memory"), raw.finish().expect("memory"));
        for (encoding, packed) in [
            ("gzip", gzip(TEXT)),
            ("X-GZip", gzip(TEXT)),
            ("identity, gzip", gzip(TEXT)),
            ("gzip, gzip", gzip(&gzip(TEXT))),
            ("deflate", zlib),
            ("deflate", raw),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd),
        ] {
            for size in [1, 7, 1000] {
                assert_eq!(unpacked(encoding, &packed, size), TEXT, "{encoding} {size}");
            }
        }
        assert!(unpacker("identity", 10).expect("known").is_none());
        assert!(unpacker("lzma", 10).err().expect("unknown").contains("lzma"));
        assert!(unpacker("gzip, gzip, gzip", 10).is_err());
        let mut wrong = unpacker("gzip", 100).expect("known").expect("packed");
        assert!(matches!(
            wrong.feed(Bytes::from_static(b"no gzip at all")),
            Err(TransportFailure::Connection(_))
        ));
    }

    #[test]
    fn what_becomes_too_large_when_it_is_unpacked_is_refused_before_it_is() {
        let zeros = vec![0; 10 << 20];
        let zstd = zstd::encode_all(&zeros[..], 3).expect("memory");
        for (encoding, packed) in [("gzip", gzip(&zeros)), ("zstd", zstd)] {
            assert!(packed.len() < 20_000, "a bomb");
            let mut unpacker = unpacker(encoding, 1 << 20).expect("known").expect("packed");
            assert!(matches!(unpacker.feed(packed.into()), Err(TransportFailure::Limit(_))), "{encoding}");
        }
    }
}
