//! `weir:policy/crypto`: keys and signatures, natively.

use sha2::{Digest, Sha256};
use wasmtime::component::{Linker, WasmList, WasmStr};

use super::{Call, Host, Values, charge, forbid, jwk::Key};

/// As the contract says: per instance and `update`.
const MAX_KEYS: usize = 256;

/// The keys of one instance, by position.
#[derive(Default)]
pub(super) struct KeyRing(Vec<Key>);

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>) -> wasmtime::Result<()> {
    let mut crypto = linker.instance("weir:policy/crypto@0.1.0")?;
    crypto.func_wrap("key", |mut call: Call<'_, V>, (jwk,): (WasmStr,)| {
        charge(&mut call)?;
        let key = Key::parse(&jwk.to_str(&call)?);
        let keys = &mut call.data_mut().keys.0;
        if keys.len() >= MAX_KEYS {
            return forbid(format!("more than {MAX_KEYS} keys"));
        }
        let position = u32::try_from(keys.len())?;
        Ok((key.map(|key| {
            keys.push(key);
            position
        }),))
    })?;
    crypto.func_wrap("forget-keys", |mut call: Call<'_, V>, (): ()| {
        charge(&mut call)?;
        call.data_mut().keys.0.clear();
        Ok(())
    })?;
    crypto.func_wrap(
        "verify",
        |mut call: Call<'_, V>,
         (key, algorithm, message, signature): (u32, WasmStr, WasmList<u8>, WasmList<u8>)| {
            charge(&mut call)?;
            let algorithm = algorithm.to_str(&call)?;
            let Some(key) = call.data().keys.0.get(key as usize) else {
                return forbid(format!("no key {key}"));
            };
            let (message, signature) = (message.as_le_slice(&call), signature.as_le_slice(&call));
            Ok((key.verify(&algorithm, message, signature),))
        },
    )?;
    crypto.func_wrap("sha256", |mut call: Call<'_, V>, (data,): (WasmList<u8>,)| {
        charge(&mut call)?;
        let digest: [u8; 32] = Sha256::digest(data.as_le_slice(&call)).into();
        Ok((digest.to_vec(),))
    })
}
