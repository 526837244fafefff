//! Encrypts and decrypts memory and prints GB per CPU second, beside the bare cipher over one buffer:
//! `cargo run --release -p licen-seal --example bench_stream [MiB]`.
#![allow(clippy::print_stdout)]

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use licen_core::primitives::B256;
use licen_seal::DatasetKey;
use licen_seal::stream::{Decryptor, Encryptor, dataset_aad};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mebibytes: u64 = std::env::args().nth(1).map_or(Ok(1024), |text| text.parse())?;
    let bytes = mebibytes << 20;
    let key = DatasetKey::generate()?;
    let aad = dataset_aad(31_337, &B256::ZERO);

    let bare = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).map_err(|_| "key")?);
    let mut buffer = vec![0; 1 << 20];
    report("cipher", bytes, || {
        for round in 0..mebibytes {
            buffer.fill(0);
            let mut iv = [0; 12];
            iv[..8].copy_from_slice(&round.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(iv);
            let sealed = bare.seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer);
            let _ = std::hint::black_box(sealed.map_err(|_| io::ErrorKind::Other)?);
        }
        Ok(())
    })?;
    report("encrypt", bytes, || {
        let mut encryptor = Encryptor::new(&key, &aad, Swallow)?;
        encryptor.read_from(&mut Zeros.take(bytes))?;
        encryptor.finish().map(drop).map_err(Into::into)
    })?;

    // One piece of ciphertext, decrypted again and again: memory stays small.
    let piece = 64 << 20;
    let mut encryptor = Encryptor::new(&key, &aad, Vec::new())?;
    encryptor.read_from(&mut Zeros.take(piece))?;
    let cipher = encryptor.finish()?;
    let rounds = bytes.div_ceil(piece);
    report("decrypt", rounds * piece, || {
        for _ in 0..rounds {
            let mut decryptor = Decryptor::new(&key, &aad, &cipher[..])?;
            while decryptor.next_segment()?.is_some() {}
        }
        Ok(())
    })?;
    Ok(())
}

fn report(name: &str, bytes: u64, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let start = cpu_seconds();
    work()?;
    let seconds = cpu_seconds() - start;
    println!("{name:8} {:6.2} GB/s of CPU time, {bytes} bytes", bytes as f64 / seconds / 1e9);
    Ok(())
}

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

struct Zeros;

impl Read for Zeros {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        out.fill(0);
        Ok(out.len())
    }
}

struct Swallow;

impl Write for Swallow {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
