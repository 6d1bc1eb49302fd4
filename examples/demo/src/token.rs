//! Tokens for the demo: HS256 (RFC 7518 3.2) with a secret that is made anew at each start.

use anyhow::{Result, anyhow};
use aws_lc_rs::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;

/// Whoever has it can make tokens that the demo's Weir accepts.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    /// A random one.
    pub(crate) fn new() -> Result<Self> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("no randomness"))?;
        Ok(Self(bytes))
    }

    /// The key set (RFC 7517) that Weir verifies with.
    pub(crate) fn jwks(&self) -> String {
        let key = BASE64_URL_SAFE_NO_PAD.encode(self.0);
        json!({ "keys": [{ "kty": "oct", "kid": "demo", "alg": "HS256", "use": "sig", "k": key }] })
            .to_string()
    }

    /// A token for `subject`, valid for `seconds` from now (in the past, if negative).
    pub(crate) fn token(&self, subject: &str, seconds: i64) -> Result<String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let end = i64::try_from(now.as_secs())? + seconds;
        let head = json!({ "alg": "HS256", "typ": "JWT", "kid": "demo" });
        let claims =
            json!({ "iss": "https://demo.weir.example", "aud": "users", "sub": subject, "exp": end });
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(head), part(claims));
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), message.as_bytes());
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_three_parts_signed_with_the_key_of_the_set() -> Result<()> {
        let secret = Secret::new()?;
        let token = secret.token("ann", 60)?;
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let claims: serde_json::Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1])?)?;
        assert_eq!((&claims["sub"], &claims["aud"]), (&"ann".into(), &"users".into()));
        let set: serde_json::Value = serde_json::from_str(&secret.jwks())?;
        let key = BASE64_URL_SAFE_NO_PAD.decode(set["keys"][0]["k"].as_str().unwrap_or_default())?;
        let (message, _) = token.rsplit_once('.').unwrap_or_default();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(parts[2])?;
        assert!(
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), message.as_bytes(), &signature).is_ok()
        );
        Ok(())
    }
}
