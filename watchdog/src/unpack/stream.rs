//! What a packed .tar becomes, byte after byte. Whatever checksums its packing has are looked at.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::{
    Kind, Packed,
    fault::{self, UnpackError},
};

/// The largest window that a .zst may need, as a power of two: 8 MiB, which every decoder should have (RFC 8878).
/// Packers stay below it unless told otherwise (`--long`, `--ultra`).
const LARGEST_WINDOW_LOG: u32 = 23;

/// Opens the stream.
pub(super) fn open<'f>(kind: Kind, packed: Packed<'f>) -> Result<Box<dyn Read + 'f>, UnpackError> {
    let buffered = BufReader::with_capacity(1 << 16, packed);
    Ok(match kind {
        Kind::TarGzip => Box::new(MultiGzDecoder::new(buffered)),
        Kind::TarZstd => {
            let bad = |error| fault::reading(error, None);
            let mut decoder = zstd::Decoder::with_buffer(buffered).map_err(bad)?;
            decoder.window_log_max(LARGEST_WINDOW_LOG).map_err(bad)?;
            Box::new(Zstandard(decoder))
        }
        Kind::Tar | Kind::Zip => Box::new(buffered),
    })
}

/// A .zst, whose errors say what to do.
struct Zstandard<'f>(zstd::Decoder<'static, BufReader<Packed<'f>>>);

impl Read for Zstandard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            // libzstd's own words; there is nothing else to know it by.
            if error.to_string() == "Frame requires too much memory for decoding" {
                let what =
                    "it needs more than 8 MiB of memory, as --long and --ultra make it: leave them out";
                return io::Error::new(io::ErrorKind::InvalidData, what);
            }
            error
        })
    }
}
