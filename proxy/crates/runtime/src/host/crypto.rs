//! `weir:policy/crypto`: keys and signatures, natively.

use sha2::{Digest, Sha256};
use wasmtime::component::{Linker, WasmList, WasmStr};

use super::{Call, Host, Values, charge, forbid, jwk::Key};

/// As the contract says: per instance and `update`.
const MAX_KEYS: usize = 256;

/// The interface's name.
pub(crate) const CRYPTO: &str = "weir:policy/crypto@0.1.0";

/// The keys of one instance, by position.
#[derive(Default)]
pub(super) struct KeyRing(Vec<Key>);

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    let mut crypto = linker.instance(CRYPTO)?;
    crypto.func_wrap("key", |mut call: Call<'_, V>, (jwk,): (WasmStr,)| {
        charge(&mut call)?;
        let key = Key::parse(&jwk.to_str(&call)?);
        Ok((call.data_mut().keep_key(key)?,))
    })?;
    crypto.func_wrap("forget-keys", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        call.data_mut().forget_keys();
        Ok(())
    })?;
    crypto.func_wrap(
        "verify",
        |mut call: Call<'_, V>,
         (key, algorithm, message, signature): (u32, WasmStr, WasmList<u8>, WasmList<u8>)| {
            charge(&mut call)?;
            let algorithm = algorithm.to_str(&call)?;
            let (message, signature) = (message.as_le_slice(&call), signature.as_le_slice(&call));
            Ok((call.data().verify(key, &algorithm, message, signature)?,))
        },
    )?;
    crypto.func_wrap("sha256", |mut call: Call<'_, V>, (data,): (WasmList<u8>,)| {
        charge(&mut call)?;
        Ok((sha256(data.as_le_slice(&call)).to_vec(),))
    })
}

/// What the functions do, whichever way they are called.
impl<V: Values> Host<V> {
    /// The position of a key that was made; the inner error is for the guest.
    pub(crate) fn keep_key(&mut self, key: Result<Key, String>) -> wasmtime::Result<Result<u32, String>> {
        let keys = &mut self.keys.0;
        if keys.len() >= MAX_KEYS {
            return forbid(format!("more than {MAX_KEYS} keys"));
        }
        let position = u32::try_from(keys.len())?;
        Ok(key.map(|key| {
            keys.push(key);
            position
        }))
    }

    pub(crate) fn forget_keys(&mut self) {
        self.keys.0.clear();
    }

    pub(crate) fn verify(
        &self,
        key: u32,
        algorithm: &str,
        message: &[u8],
        signature: &[u8],
    ) -> wasmtime::Result<bool> {
        match self.keys.0.get(key as usize) {
            Some(key) => Ok(key.verify(algorithm, message, signature)),
            None => forbid(format!("no key {key}")),
        }
    }
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}
